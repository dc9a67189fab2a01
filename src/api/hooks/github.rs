//! What GitHub sends to the webhook of a repository, as one embed each.
//!
//! A row per event says when it is worth a message and what its title and text are. Nothing of what is sent is relied
//! upon: what is missing is empty, and an event that says nothing is no error, as GitHub sends many kinds to whoever
//! asked for all of them. Who may post is decided by our token; `X-Hub-Signature` is not looked at.

use super::embed::{Embed, Party, compile, cut};
use crate::domain::Result;
use crate::wire::json::Value;

/// Commits of a push that are listed.
const COMMIT_COUNT_MAX: usize = 10;
/// Characters of the first line of a commit message, and of what people have written.
const SUBJECT_CHARS_MAX: usize = 100;
const BODY_CHARS_MAX: usize = 500;

const GREEN: u32 = 0x2d_a4_4e;
const RED: u32 = 0xcf_22_2e;
const PURPLE: u32 = 0x82_50_df;
const BLUE: u32 = 0x09_69_da;
const GRAY: u32 = 0x6e_77_81;
const YELLOW: u32 = 0xbf_87_00;

/// Of an event, what is to be shown; `None` when that is nothing.
type Translate = fn(Event<'_>) -> Option<Embed>;

const EVENTS: &[(&str, Translate)] = &[
    ("check_run", check_run),
    ("commit_comment", commit_comment),
    ("create", create),
    ("delete", delete),
    ("fork", fork),
    ("issue_comment", issue_comment),
    ("issues", issues),
    ("ping", ping),
    ("pull_request", pull_request),
    ("pull_request_review", pull_request_review),
    ("pull_request_review_comment", pull_request_review_comment),
    ("push", push),
    ("release", release),
    ("star", star),
    ("workflow_run", workflow_run),
];

/// The embeds of a message about an event, as a compact JSON list; `None` when it is not worth one.
///
/// # Errors
/// As [`compile`].
pub fn translate(event: &str, payload: &Value<'_>) -> Result<Option<String>> {
    let Some((_, translate)) = EVENTS.iter().find(|(name, _)| *name == event) else { return Ok(None) };
    let event = Event(payload);
    let Some(embed) = translate(event) else { return Ok(None) };
    let embeds = compile(&[Embed { author: event.sender(), ..embed }])?;
    Ok(Some(embeds).filter(|embeds| !embeds.is_empty()))
}

/// A payload, or a part of one.
#[derive(Clone, Copy)]
struct Event<'v>(&'v Value<'v>);

impl<'v> Event<'v> {
    /// The value at the end of a path of names.
    fn at(self, path: &[&str]) -> Option<&'v Value<'v>> {
        path.iter().try_fold(self.0, |value, name| value.get(name)).filter(|value| !value.is_null())
    }

    /// A text; empty when there is none.
    fn text(self, path: &[&str]) -> &'v str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn is(self, path: &[&str]) -> bool {
        self.at(path).and_then(Value::as_bool) == Some(true)
    }

    fn list(self, path: &[&str]) -> &'v [Value<'v>] {
        self.at(path).and_then(Value::as_array).unwrap_or_default()
    }

    fn number(self, path: &[&str]) -> i128 {
        self.at(path).and_then(Value::as_int).unwrap_or_default()
    }

    fn action(self) -> &'v str {
        self.text(&["action"])
    }

    fn sender(self) -> Party {
        let login = match self.text(&["sender", "login"]) {
            "" => self.text(&["pusher", "name"]),
            login => login,
        };
        Party {
            text: login.to_string(),
            url: self.text(&["sender", "html_url"]).to_string(),
            icon_url: self.text(&["sender", "avatar_url"]).to_string(),
        }
    }

    /// What titles begin with: the repository, or the organisation when there is none.
    fn place(self) -> &'v str {
        let places: [&[&str]; 3] =
            [&["repository", "full_name"], &["repository", "name"], &["organization", "login"]];
        places.map(|path| self.text(path)).into_iter().find(|name| !name.is_empty()).unwrap_or("GitHub")
    }

    fn titled(self, what: impl std::fmt::Display) -> String {
        format!("[{}] {what}", self.place())
    }

    /// `#12 Title` of an issue or a pull request.
    fn numbered(self, thing: &str) -> String {
        format!("#{} {}", self.number(&[thing, "number"]), self.text(&[thing, "title"]))
    }

    /// What somebody has written there.
    fn body(self, thing: &str) -> String {
        cut(self.text(&[thing, "body"]), BODY_CHARS_MAX)
    }

    fn url(self, thing: &str) -> String {
        self.text(&[thing, "html_url"]).to_string()
    }
}

fn push(event: Event<'_>) -> Option<Embed> {
    let commits = event.list(&["commits"]);
    let branch = branch(event.text(&["ref"]));
    // Branches and tags that come and go have events of their own.
    if event.is(&["deleted"]) || commits.is_empty() && !event.is(&["forced"]) {
        return None;
    }
    let place = format!("[{}:{branch}]", event.place());
    let (title, color) = match (event.is(&["forced"]), commits.len()) {
        (true, _) => {
            let after = short(event.text(&["after"]));
            (format!("{place} Branch was force-pushed to {after}"), RED)
        }
        (false, 1) => (format!("{place} 1 new commit"), BLUE),
        (false, count) => (format!("{place} {count} new commits"), BLUE),
    };
    let mut lines: Vec<String> =
        commits.iter().take(COMMIT_COUNT_MAX).map(|commit| commit_line(Event(commit))).collect();
    if commits.len() > COMMIT_COUNT_MAX {
        lines.push(format!("… and {} more", commits.len() - COMMIT_COUNT_MAX));
    }
    let url = event.text(&["compare"]).to_string();
    Some(Embed { title, url, description: lines.join("\n"), color: Some(color), ..Embed::default() })
}

fn commit_line(commit: Event<'_>) -> String {
    let subject = commit.text(&["message"]).lines().next().unwrap_or_default();
    let author = match commit.text(&["author", "username"]) {
        "" => commit.text(&["author", "name"]),
        username => username,
    };
    let id = short(commit.text(&["id"]));
    format!("[`{id}`]({}) {} - {author}", commit.text(&["url"]), cut(subject, SUBJECT_CHARS_MAX))
}

fn pull_request(event: Event<'_>) -> Option<Embed> {
    let (done, color) = match event.action() {
        "opened" => ("opened", GREEN),
        "reopened" => ("reopened", GREEN),
        "ready_for_review" => ("ready for review", GREEN),
        "converted_to_draft" => ("converted to draft", GRAY),
        "closed" if event.is(&["pull_request", "merged"]) => ("merged", PURPLE),
        "closed" => ("closed", RED),
        _ => return None,
    };
    let description = if done == "opened" { event.body("pull_request") } else { String::new() };
    let title = event.titled(format_args!("Pull request {done}: {}", event.numbered("pull_request")));
    let url = event.url("pull_request");
    Some(Embed { title, url, description, color: Some(color), ..Embed::default() })
}

fn pull_request_review(event: Event<'_>) -> Option<Embed> {
    let (done, color) = match (event.action(), event.text(&["review", "state"])) {
        ("submitted", "approved") => ("approved", GREEN),
        ("submitted", "changes_requested") => ("needs changes", RED),
        // The comments of a review without a text are told one by one.
        ("submitted", _) if !event.text(&["review", "body"]).is_empty() => ("reviewed", GRAY),
        _ => return None,
    };
    let title = event.titled(format_args!("Pull request {done}: {}", event.numbered("pull_request")));
    Some(Embed {
        title,
        url: event.url("review"),
        description: event.body("review"),
        color: Some(color),
        ..Embed::default()
    })
}

fn pull_request_review_comment(event: Event<'_>) -> Option<Embed> {
    commented(event, format_args!("pull request {}", event.numbered("pull_request")))
}

fn issue_comment(event: Event<'_>) -> Option<Embed> {
    let is_pull_request = event.at(&["issue", "pull_request"]).is_some();
    let thing = if is_pull_request { "pull request" } else { "issue" };
    commented(event, format_args!("{thing} {}", event.numbered("issue")))
}

fn commit_comment(event: Event<'_>) -> Option<Embed> {
    commented(event, format_args!("commit {}", short(event.text(&["comment", "commit_id"]))))
}

fn commented(event: Event<'_>, on: std::fmt::Arguments<'_>) -> Option<Embed> {
    (event.action() == "created").then(|| Embed {
        title: event.titled(format_args!("New comment on {on}")),
        url: event.url("comment"),
        description: event.body("comment"),
        color: Some(GRAY),
        ..Embed::default()
    })
}

fn issues(event: Event<'_>) -> Option<Embed> {
    let (done, color) = match (event.action(), event.text(&["issue", "state_reason"])) {
        ("opened", _) => ("opened", GREEN),
        ("reopened", _) => ("reopened", GREEN),
        ("closed", "not_planned") => ("closed as not planned", GRAY),
        ("closed", _) => ("closed", PURPLE),
        ("deleted", _) => ("deleted", RED),
        ("transferred", _) => ("transferred", GRAY),
        _ => return None,
    };
    let description = if done == "opened" { event.body("issue") } else { String::new() };
    let title = event.titled(format_args!("Issue {done}: {}", event.numbered("issue")));
    Some(Embed { title, url: event.url("issue"), description, color: Some(color), ..Embed::default() })
}

fn release(event: Event<'_>) -> Option<Embed> {
    // GitHub says `released` or `prereleased` beside it.
    if event.action() != "published" {
        return None;
    }
    let name = match event.text(&["release", "name"]) {
        "" => event.text(&["release", "tag_name"]),
        name => name,
    };
    let kind = if event.is(&["release", "prerelease"]) { "pre-release" } else { "release" };
    Some(Embed {
        title: event.titled(format_args!("New {kind} published: {name}")),
        url: event.url("release"),
        description: event.body("release"),
        color: Some(PURPLE),
        ..Embed::default()
    })
}

fn create(event: Event<'_>) -> Option<Embed> {
    let kind = event.text(&["ref_type"]);
    let title = match kind {
        "repository" => event.titled("Repository created"),
        _ => event.titled(format_args!("New {kind} created: {}", event.text(&["ref"]))),
    };
    Some(Embed { title, url: event.url("repository"), color: Some(GREEN), ..Embed::default() })
}

fn delete(event: Event<'_>) -> Option<Embed> {
    let kind = match event.text(&["ref_type"]) {
        "tag" => "Tag",
        _ => "Branch",
    };
    let title = event.titled(format_args!("{kind} deleted: {}", event.text(&["ref"])));
    Some(Embed { title, url: event.url("repository"), color: Some(RED), ..Embed::default() })
}

fn fork(event: Event<'_>) -> Option<Embed> {
    let title = event.titled(format_args!("Fork created: {}", event.text(&["forkee", "full_name"])));
    Some(Embed { title, url: event.url("forkee"), color: Some(BLUE), ..Embed::default() })
}

fn star(event: Event<'_>) -> Option<Embed> {
    (event.action() == "created").then(|| Embed {
        title: event.titled("New star"),
        url: event.url("repository"),
        color: Some(YELLOW),
        ..Embed::default()
    })
}

fn ping(event: Event<'_>) -> Option<Embed> {
    Some(Embed {
        title: event.titled("Webhook connected"),
        url: event.url("repository"),
        description: event.text(&["zen"]).to_string(),
        color: Some(GREEN),
        ..Embed::default()
    })
}

fn workflow_run(event: Event<'_>) -> Option<Embed> {
    completed(event, "workflow_run", "Workflow", event.text(&["workflow_run", "head_branch"]))
}

fn check_run(event: Event<'_>) -> Option<Embed> {
    completed(event, "check_run", "Check", event.text(&["check_run", "check_suite", "head_branch"]))
}

/// Something that ran and came to an end.
fn completed(event: Event<'_>, thing: &str, called: &str, branch: &str) -> Option<Embed> {
    if event.action() != "completed" {
        return None;
    }
    let conclusion = event.text(&[thing, "conclusion"]);
    let color = match conclusion {
        "success" => GREEN,
        "failure" | "timed_out" | "startup_failure" => RED,
        "action_required" => YELLOW,
        _ => GRAY,
    };
    let name = event.text(&[thing, "name"]);
    let on = if branch.is_empty() { String::new() } else { format!(" on {branch}") };
    let title = event.titled(format_args!("{called} \"{name}\": {}{on}", conclusion.replace('_', " ")));
    Some(Embed { title, url: event.url(thing), color: Some(color), ..Embed::default() })
}

/// The name of a branch or a tag without its folder.
fn branch(reference: &str) -> &str {
    let known = ["refs/heads/", "refs/tags/"].into_iter().find_map(|folder| reference.strip_prefix(folder));
    known.unwrap_or(reference)
}

/// The beginning of a commit's id, as people write it.
fn short(id: &str) -> &str {
    let end = id.char_indices().nth(7).map_or(id.len(), |(at, _)| at);
    &id[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse;

    /// With repository and sender, as every payload has them.
    fn whole(rest: &str) -> String {
        let sender = r#""sender":{"login":"ada","html_url":"https://github.com/ada","avatar_url":"https://a.example/ada.png"}"#;
        let repository = r#""repository":{"name":"engine","full_name":"ada/engine","html_url":"https://github.com/ada/engine"}"#;
        format!("{{{rest}{}{sender},{repository}}}", if rest.is_empty() { "" } else { "," })
    }

    fn embeds_of(event: &str, payload: &str) -> Option<String> {
        let mut bytes = payload.as_bytes().to_vec();
        translate(event, &parse(&mut bytes).unwrap()).unwrap()
    }

    /// The member of the one embed.
    fn member(event: &str, rest: &str, name: &str) -> String {
        let embeds = embeds_of(event, &whole(rest)).unwrap_or_else(|| panic!("{event} {rest}: nothing"));
        let mut bytes = embeds.into_bytes();
        let list = parse(&mut bytes).unwrap();
        let [embed] = list.as_array().unwrap() else { panic!("one embed") };
        let member = embed.get(name);
        member.map_or(String::new(), |value| value.as_str().map_or(value.to_json(), str::to_string))
    }

    #[test]
    fn each_event_has_its_title() {
        let pull = |rest: &str| {
            format!(
                r#""action":{rest},"pull_request":{{"number":7,"title":"Add gears","html_url":"https://github.com/ada/engine/pull/7","body":"They turn.","merged":true}}"#
            )
        };
        let issue =
            r##""number":3,"title":"It squeaks","html_url":"https://github.com/ada/engine/issues/3""##;
        for (event, rest, title) in [
            ("push", r#""ref":"refs/heads/main","commits":[{"id":"0123456789","message":"One"}]"#.to_string(), "[ada/engine:main] 1 new commit"),
            ("push", r#""ref":"refs/heads/a/b","commits":[{},{}]"#.into(), "[ada/engine:a/b] 2 new commits"),
            ("push", r#""ref":"refs/heads/main","forced":true,"after":"0123456789ab","commits":[]"#.into(), "[ada/engine:main] Branch was force-pushed to 0123456"),
            ("pull_request", pull("\"opened\""), "[ada/engine] Pull request opened: #7 Add gears"),
            ("pull_request", pull("\"closed\""), "[ada/engine] Pull request merged: #7 Add gears"),
            ("pull_request_review", pull(r#""submitted","review":{"state":"approved"}"#), "[ada/engine] Pull request approved: #7 Add gears"),
            ("pull_request_review_comment", pull("\"created\""), "[ada/engine] New comment on pull request #7 Add gears"),
            ("issues", format!(r#""action":"opened","issue":{{{issue}}}"#), "[ada/engine] Issue opened: #3 It squeaks"),
            ("issues", format!(r#""action":"closed","issue":{{{issue},"state_reason":"not_planned"}}"#), "[ada/engine] Issue closed as not planned: #3 It squeaks"),
            ("issue_comment", format!(r#""action":"created","issue":{{{issue}}}"#), "[ada/engine] New comment on issue #3 It squeaks"),
            ("issue_comment", format!(r#""action":"created","issue":{{{issue},"pull_request":{{}}}}"#), "[ada/engine] New comment on pull request #3 It squeaks"),
            ("commit_comment", r#""action":"created","comment":{"commit_id":"0123456789"}"#.into(), "[ada/engine] New comment on commit 0123456"),
            ("release", r#""action":"published","release":{"tag_name":"v1","name":null}"#.into(), "[ada/engine] New release published: v1"),
            ("release", r#""action":"published","release":{"name":"One","prerelease":true}"#.into(), "[ada/engine] New pre-release published: One"),
            ("create", r#""ref_type":"branch","ref":"gears""#.into(), "[ada/engine] New branch created: gears"),
            ("create", r#""ref_type":"repository","ref":null"#.into(), "[ada/engine] Repository created"),
            ("delete", r#""ref_type":"tag","ref":"v0""#.into(), "[ada/engine] Tag deleted: v0"),
            ("fork", r#""forkee":{"full_name":"bob/engine"}"#.into(), "[ada/engine] Fork created: bob/engine"),
            ("star", r#""action":"created""#.into(), "[ada/engine] New star"),
            ("ping", r#""zen":"Design for failure.""#.into(), "[ada/engine] Webhook connected"),
            ("workflow_run", r#""action":"completed","workflow_run":{"name":"CI","conclusion":"timed_out","head_branch":"main"}"#.into(), "[ada/engine] Workflow \"CI\": timed out on main"),
            ("check_run", r#""action":"completed","check_run":{"name":"lint","conclusion":"success"}"#.into(), "[ada/engine] Check \"lint\": success"),
        ] {
            assert_eq!(member(event, &rest, "title"), title);
            let author = r#"{"name":"ada","url":"https://github.com/ada","icon_url":"https://a.example/ada.png"}"#;
            assert_eq!(member(event, &rest, "author"), author, "{event}");
        }
        assert_eq!(member("pull_request", &pull("\"opened\""), "description"), "They turn.");
        assert_eq!(
            member("pull_request", &pull("\"opened\""), "url"),
            "https://github.com/ada/engine/pull/7"
        );
        assert_eq!(member("pull_request", &pull("\"closed\""), "description"), "");
    }

    #[test]
    fn what_is_not_worth_a_message() {
        for (event, rest) in [
            ("gollum", r#""pages":[]"#),
            ("", ""),
            ("PUSH", r#""commits":[{}]"#),
            ("push", r#""ref":"refs/heads/new","created":true,"commits":[]"#),
            ("push", r#""ref":"refs/heads/old","deleted":true,"forced":true,"commits":[]"#),
            ("pull_request", r#""action":"labeled""#),
            ("pull_request", r#""action":"synchronize""#),
            ("issues", r#""action":"assigned""#),
            ("issue_comment", r#""action":"edited""#),
            ("release", r#""action":"released""#),
            ("star", r#""action":"deleted""#),
            ("workflow_run", r#""action":"requested""#),
            ("check_run", r#""action":"created""#),
            ("pull_request_review", r#""action":"submitted","review":{"state":"commented","body":null}"#),
        ] {
            assert_eq!(embeds_of(event, &whole(rest)), None, "{event} {rest}");
        }
    }

    #[test]
    fn commits_are_listed() {
        let commit = |index: usize| {
            format!(
                r#"{{"id":"{index:040}","message":"Turn {index}\n\nmore","url":"https://github.com/c/{index}","author":{{"name":"Ada L."}}}}"#
            )
        };
        let commits = |count: usize| (0..count).map(commit).collect::<Vec<_>>().join(",");
        let list = |count| {
            member(
                "push",
                &format!(r#""ref":"refs/heads/main","commits":[{}]"#, commits(count)),
                "description",
            )
        };
        assert_eq!(list(1), "[`0000000`](https://github.com/c/0) Turn 0 - Ada L.");
        assert_eq!(list(10).lines().count(), 10);
        assert!(list(12).ends_with("\n… and 2 more"), "{}", list(12));
        let named = r#""commits":[{"author":{"name":"Ada L.","username":"ada"},"message":"x"}]"#;
        assert!(member("push", named, "description").ends_with("x - ada"));
    }

    #[test]
    fn whatever_is_missing_or_odd_is_no_error() {
        let odd = ["{}", r#"{"action":5,"commits":[1,null,"x",{}],"repository":"x","sender":[]}"#];
        let actions = ["opened", "closed", "created", "completed", "published", "submitted"];
        let long = "x".repeat(20_000);
        for (event, _) in EVENTS {
            for payload in odd {
                embeds_of(event, payload);
            }
            for action in actions {
                embeds_of(event, &format!(r#"{{"action":"{action}"}}"#));
                let text =
                    format!(r#"{{"title":"{long}","name":"{long}","body":"{long}","html_url":"{long}"}}"#);
                let all = format!(
                    r#"{{"action":"{action}","issue":{text},"pull_request":{text},"comment":{text},"release":{text},"check_run":{text},"repository":{{"full_name":"{long}"}},"sender":{{"login":"{long}"}},"ref":"{long}"}}"#
                );
                embeds_of(event, &all);
            }
        }
        assert_eq!(
            embeds_of("ping", "{}").unwrap(),
            r#"[{"title":"[GitHub] Webhook connected","color":2991182}]"#
        );
        let pushed = r#"{"commits":[{}],"pusher":{"name":"ada"}}"#;
        assert!(embeds_of("push", pushed).unwrap().contains(r#""author":{"name":"ada"}"#));
        assert!(EVENTS.is_sorted_by_key(|(name, _)| *name));
    }
}
