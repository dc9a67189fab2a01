//! What has to be said beside the code: reasons of `unsafe`, what modules own, when functions fail, what rows mean.

use plexichat::api::routes::ROUTES;
use plexichat::store::tables::ROWS;

use super::source::{Line, Source, has_word, ident};

/// Public functions of store, domain and api whose `# Errors` nobody has written yet. The list may only shrink.
pub const ERRORS_UNDOCUMENTED: &[&str] = &[
    "api/ctx.rs::path_server",
    "api/ctx.rs::path_channel",
    "api/ctx.rs::path_message",
    "api/ctx.rs::path_role",
    "api/ctx.rs::path_user",
    "api/ctx.rs::path_member",
    "api/ctx.rs::path_session",
    "api/ctx.rs::submit",
    "api/ctx.rs::submit_success",
    "api/ctx.rs::success",
    "api/ctx.rs::json",
    "domain/machine.rs::apply",
    "domain/social/relationship.rs::write_relationship",
];

/// How many lines above an `unsafe` its reason may begin: a comment of a few lines, or one for a statement.
const SAFETY_REACH: usize = 6;

pub fn safety(source: &Source, out: &mut Vec<String>) {
    for (index, line) in source.lines.iter().enumerate() {
        if !has_word(&line.code, "unsafe") {
            continue;
        }
        let nearby = &source.lines[index.saturating_sub(SAFETY_REACH)..=index];
        if !nearby.iter().any(|line| line.comment.contains("SAFETY:") || line.comment.contains("# Safety")) {
            out.push(source.complain(index, "unsafe without a SAFETY: comment above it"));
        }
    }
}

pub fn module_doc(source: &Source, out: &mut Vec<String>) {
    if !source.lines.first().is_some_and(|line| line.comment.starts_with("//!")) {
        out.push(source.complain(0, "a module begins with //! and what it owns"));
    }
}

pub fn errors_documented(source: &Source, out: &mut Vec<String>) {
    let Some(inside) = source.inside_src() else { return };
    if !["store/", "domain/", "api/"].iter().any(|layer| inside.starts_with(layer)) {
        return;
    }
    for (index, line) in source.lines.iter().enumerate().filter(|(_, line)| !line.test) {
        let Some(rest) = line.code.trim().strip_prefix("pub fn ") else { continue };
        let name = ident(rest);
        let fails = signature(&source.lines[index..])
            .rsplit_once("->")
            .is_some_and(|(_, given)| given.trim().starts_with("Result<"));
        let above = source.lines[..index].iter().rev();
        let mut doc =
            above.take_while(|line| line.comment.starts_with("///") || line.code.trim().starts_with("#["));
        let documented = doc.any(|line| line.comment.contains("# Errors"));
        // A handler's refusals are in the contract and in the tests of its route.
        let handler = inside.starts_with("api/") && ROUTES.iter().any(|route| route.name == name);
        let exempt = ERRORS_UNDOCUMENTED.contains(&format!("{inside}::{name}").as_str());
        if fails && !documented && !handler && !exempt {
            out.push(source.complain(index, &format!("{name} returns a Result: say when under # Errors")));
        }
        if exempt && (!fails || documented) {
            out.push(source.complain(index, &format!("remove {name} from ERRORS_UNDOCUMENTED")));
        }
    }
}

/// From `pub fn` to the brace of the body.
fn signature(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.code);
        if line.code.trim_end().ends_with(['{', ';', '}']) {
            break;
        }
    }
    text
}

#[test]
fn rows_are_documented() {
    for route in ROUTES {
        assert!(route.doc.trim().ends_with('.'), "src/api/: {} says nothing", route.name);
    }
    for row in ROWS {
        assert!(row.doc.trim().ends_with('.'), "src/store/tables.rs: {} says nothing", row.name);
    }
}
