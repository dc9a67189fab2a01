//! Searching: the language of queries, pages, what is found of whom and by whom.

use crate::support::{User, Value, json};
use crate::world::{MESSAGE, World, column, eventually, shape, text};

cases![search_message_list, search_user_list, search_server_list];

fn page(w: &World, user: &User, query: &str) -> Value {
    w.get(user, &format!("/search/messages?query={query}"))
}

/// Texts of what is found.
fn found(w: &World, user: &User, query: &str) -> Vec<String> {
    column(&page(w, user, query)["results"], "content").iter().map(text).collect()
}

fn search_message_list(w: &World) {
    let place = w.place();
    let (member, stranger) = (w.member(&place), w.user());
    let say = |user: &User, content: &str| w.message(user, &place.channel, content);
    let ready = say(&place.owner, "Quarterly report is ready");
    say(&member, "The REPORT looks fine to me");
    say(&member, "see https://example.org/page for more");
    let kept = say(&place.owner, &format!("old report, please keep <@{}>", member.id));
    w.ok(&place.owner, &format!("PUT /channels/{}/pins/{kept}", place.channel), Value::Null);
    let dm = w.dm(&member, &stranger);
    w.message(&member, &dm, "private report");
    let name = &member.name;
    let count = |query: &str| found(w, &member, query).len();
    eventually(|| count("report") == 4);
    for (query, want) in [
        ("report%20ready", 1),
        ("%22report%20is%22", 1),
        ("%22is%20report%22", 0),
        (&format!("from:{name}%20report"), 2),
        ("report%20-fine", 3),
        ("in:general%20report", 3),
        ("in:nowhere%20report", 0),
        (&format!("mentions:{name}"), 1),
        ("has:link", 1),
        ("has:attachment", 0),
        ("pinned:true", 1),
        ("report%20pinned:false", 3),
        ("report%20after:2024-01-01", 4),
        ("report%20before:2024-01-01", 0),
        ("report%20after:1d", 4),
        ("repor", 0),
        ("", 0),
        (&format!("report&author_id={}", member.id), 2),
        (&format!("report&channel_id={}", place.channel), 3),
        (&format!("report&conversation_id={dm}"), 1),
        (&format!("report&server_id={}", place.id), 3),
    ] {
        assert_eq!(count(query), want, "{query}");
    }
    assert_eq!(found(w, &stranger, "report"), ["private report"]);
    assert_eq!(found(w, &stranger, &format!("report&channel_id={}", place.channel)), [""; 0]);
    let first = page(w, &member, "report&limit=3");
    shape(&first, "results: list, next_cursor: str?");
    shape(&first["results"][0], MESSAGE);
    let second = page(w, &member, &format!("report&limit=3&cursor={}", text(&first["next_cursor"])));
    let ids = |page: &Value| column(&page["results"], "id");
    assert_eq!((ids(&first).len(), ids(&second)), (3, vec![json!(ready)]));
    assert_eq!(second["next_cursor"], Value::Null);
    for bad in
        ["?query=x&limit=0", "?query=x&limit=101", "?query=x&cursor=%3F", "?query=x&server_id=x", "?query=has:x", ""]
    {
        w.refused(&member, &format!("GET /search/messages{bad}"), Value::Null, 400);
    }
    // What is edited, deleted, or no longer to be read.
    let line = format!("/channels/{}/messages/{ready}", place.channel);
    w.ok(&place.owner, &format!("PATCH {line}"), json!({"content": "Quarterly summary is ready"}));
    eventually(|| count("summary") == 1 && count("report") == 3);
    w.ok(&place.owner, &format!("DELETE {line}"), Value::Null);
    assert_eq!(count("summary"), 0);
    w.ok(&place.owner, &format!("DELETE /servers/{}/members/{}", place.id, member.id), Value::Null);
    assert_eq!(found(w, &member, "report"), ["private report"]);
}

fn search_user_list(w: &World) {
    let place = w.place();
    let (member, stranger) = (w.member(&place), w.user());
    let find = |user: &User, query: &str| w.get(user, &format!("/search/users?query={query}"));
    let page = find(&member, &stranger.name.to_uppercase());
    shape(&page, "results: list, next_cursor: str?");
    let results = page["results"].as_array().expect("a list");
    let one = results.iter().find(|result| result["user_id"] == *stranger.id).expect("he is found");
    shape(one, "user_id: id, username: str, display_name: str?, avatar_url: str?, badges: list, score: num");
    let last = stranger.name.rsplit('_').next().expect("a word");
    assert!(column(&find(&member, last)["results"], "user_id").contains(&json!(stranger.id)));
    let all = |limit: usize| {
        let (mut ids, mut next) = (Vec::new(), String::new());
        loop {
            let page = find(&member, &format!("user_&limit={limit}{next}"));
            ids.extend(column(&page["results"], "user_id"));
            match &page["next_cursor"] {
                Value::Null => return ids,
                cursor => next = format!("&cursor={}", text(cursor)),
            }
        }
    };
    assert_eq!(all(2), all(100));
    let of_server = |user: &User, name: &str| {
        column(&find(user, &format!("{name}&server_id={}", place.id))["results"], "user_id")
    };
    assert_eq!(of_server(&member, &place.owner.name), [json!(place.owner.id)]);
    assert!(of_server(&member, &stranger.name).is_empty());
    w.refused(&stranger, &format!("GET /search/users?query=x&server_id={}", place.id), Value::Null, 403);
    w.refused(&stranger, "GET /search/users?query=x&server_id=999", Value::Null, 404);
    for bad in ["", "?query=x&limit=0", "?query=x&cursor=x", "?query=x&server_id=x"] {
        w.refused(&stranger, &format!("GET /search/users{bad}"), Value::Null, 400);
    }
    w.ok(&stranger, "POST /relationships/block", json!({"user_id": member.id}));
    for (one, other) in [(&member, &stranger), (&stranger, &member)] {
        assert!(!column(&find(one, &other.name)["results"], "user_id").contains(&json!(other.id)));
    }
}

fn search_server_list(w: &World) {
    let place = w.place();
    let page = w.get(&place.owner, "/search/servers?query=Analytical&category=x&limit=5");
    assert_eq!(page, json!({"results": [], "next_cursor": null}));
    for bad in ["", "?query=x&limit=101", "?query=x&cursor=x"] {
        w.refused(&place.owner, &format!("GET /search/servers{bad}"), Value::Null, 400);
    }
}
