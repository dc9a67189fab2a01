//! Presence over REST.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Line, Needed, Word, fields};
use crate::domain::Result;
use crate::domain::social::presence::{self, Moment, PresenceSet};
use crate::id::UserId;
use crate::limits::{CUSTOM_EMOJI_LEN_MAX, CUSTOM_STATUS_LEN_MAX};
use crate::store::records::status;

/// What decides, besides the state, who is shown as present.
pub fn moment(ctx: &Ctx<'_>) -> Moment {
    Moment { now: ctx.now(), rest_timeout_ms: ctx.state.config.presence.timeout_ms }
}

fn answer_presence(ctx: &mut Ctx<'_>, target: UserId) -> Result<Step> {
    let (snapshot, viewer, moment) = (ctx.snapshot(), ctx.user_id(), moment(ctx));
    let live = ctx.state.liveness(target);
    ctx.json(|out| presence::write_presence(out, snapshot.read(), viewer, target, live, moment))
}

fields! {
    /// How somebody wants to be seen.
    pub PRESENCE: PresenceUpdate {
        status: Needed<Word> = Needed(Word(status::WORDS)),
        /// A blank one takes it away.
        custom_status: Line = Line(CUSTOM_STATUS_LEN_MAX),
        /// A blank one takes it away.
        custom_emoji: Line = Line(CUSTOM_EMOJI_LEN_MAX),
    }
}

pub fn presence_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let op = PresenceSet {
        status: status::code(PRESENCE.status.read(&body)?),
        custom_status: PRESENCE.custom_status.read(&body)?,
        custom_emoji: PRESENCE.custom_emoji.read(&body)?,
        by_rest: true,
    };
    ctx.submit(op, |ctx, _| {
        let user_id = ctx.user_id();
        answer_presence(ctx, user_id)
    })
}

pub fn presence_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let target = ctx.path_user()?;
    answer_presence(ctx, target)
}

#[cfg(test)]
mod tests {
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{Account, register, text_at};
    use crate::domain::social::presence::{Liveness, Moment, PresenceSet, shown};
    use crate::domain::{Change, Command, Output, Reply};
    use crate::id::UserId;
    use crate::store::records::status;

    fn put(harness: &Harness, who: &Account, body: &str) -> (u16, String) {
        harness.request("PUT", "/users/@me/presence", Some(&who.token), Some(body))
    }

    fn get(harness: &Harness, who: &Account, whom: u64) -> String {
        let (status, text) =
            harness.request("GET", &format!("/users/{whom}/presence"), Some(&who.token), None);
        assert_eq!(status, 200, "{text}");
        text
    }

    fn presence(id: u64, status: &str, custom: &str, emoji: &str, last_seen: &str) -> String {
        format!(
            r#"{{"user_id":"{id}","status":"{status}","custom_status":{custom},"custom_emoji":{emoji},"last_seen":{last_seen}}}"#
        )
    }

    #[test]
    fn set_and_shown() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        assert_eq!(get(&harness, &bob, alice.id), presence(alice.id, "offline", "null", "null", "null"));
        assert_eq!(get(&harness, &bob, 999), presence(999, "offline", "null", "null", "null"));
        harness.outputs.borrow_mut().clear();
        let (code, text) =
            put(&harness, &alice, r#"{"status":"online","custom_status":"hacking","custom_emoji":"🚀"}"#);
        let online = presence(alice.id, "online", "\"hacking\"", "\"🚀\"", "1767225600");
        assert_eq!((code, text), (200, online.clone()));
        let stored = Output::Change(Change::PresenceStored { user_id: UserId(alice.id) });
        assert_eq!(*harness.outputs.borrow(), [stored]);
        assert_eq!(get(&harness, &bob, alice.id), online);

        let (_, text) = put(&harness, &alice, r#"{"status":"idle","custom_status":null,"custom_emoji":""}"#);
        assert_eq!(text, presence(alice.id, "idle", "\"hacking\"", "null", "1767225600"));
        harness.advance(299_999);
        assert_eq!(text_at(&get(&harness, &bob, alice.id), &["status"]), "idle");
        harness.advance(1);
        let offline = presence(alice.id, "offline", "null", "null", "1767225600");
        assert_eq!(get(&harness, &bob, alice.id), offline, "nobody is there any more");
        assert_eq!(text_at(&get(&harness, &alice, alice.id), &["status"]), "idle");
    }

    #[test]
    fn invisible_tells_nothing() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        put(&harness, &alice, r#"{"status":"invisible","custom_status":"x"}"#);
        let offline = presence(alice.id, "offline", "null", "null", "1767225600");
        assert_eq!(get(&harness, &bob, alice.id), offline);
        harness.advance(60_000);
        put(&harness, &alice, r#"{"status":"invisible","custom_status":"y"}"#);
        assert_eq!(get(&harness, &bob, alice.id), offline, "not even when he last did something");
        let own = presence(alice.id, "invisible", "\"y\"", "null", "1767225600");
        assert_eq!(get(&harness, &alice, alice.id), own);
    }

    #[test]
    fn blocked_pairs_look_offline() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        put(&harness, &alice, r#"{"status":"dnd"}"#);
        put(&harness, &bob, r#"{"status":"dnd"}"#);
        let body = format!(r#"{{"user_id":"{}"}}"#, bob.id);
        harness.request("POST", "/relationships/block", Some(&alice.token), Some(&body));
        assert_eq!(get(&harness, &bob, alice.id), presence(alice.id, "offline", "null", "null", "null"));
        assert_eq!(text_at(&get(&harness, &alice, bob.id), &["status"]), "offline");
    }

    #[test]
    fn refusals() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let long = format!(r#"{{"status":"online","custom_status":"{}"}}"#, "x".repeat(129));
        let emoji = format!(r#"{{"status":"online","custom_emoji":"{}"}}"#, "x".repeat(65));
        for body in
            ["{}", r#"{"status":"bogus"}"#, r#"{"status":"Online"}"#, r#"{"status":1}"#, &long, &emoji, "[]"]
        {
            assert_eq!(put(&harness, &alice, body).0, 400, "{body}");
        }
        let full = format!(r#"{{"status":"online","custom_status":"{}"}}"#, "ü".repeat(128));
        assert_eq!(put(&harness, &alice, &full).0, 200);
        assert_eq!(harness.request("GET", "/users/abc/presence", Some(&alice.token), None).0, 400);
    }

    #[test]
    fn sessions_decide_who_is_there() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let (id, viewer) = (UserId(alice.id), UserId(bob.id));
        let op = |code: u8| PresenceSet { status: Some(code), ..PresenceSet::default() };
        let apply = |code: u8| harness.apply(&Command::new(id, op(code).into()));
        assert_eq!(apply(status::DND), Ok(Reply::Changed(true)));
        assert_eq!(apply(status::DND), Ok(Reply::Changed(false)));
        let see = |viewer: UserId, online: bool| {
            let moment = Moment { now: harness.state.moment(), rest_timeout_ms: 300_000 };
            let live = Liveness { online, gone_at_ms: 0 };
            shown(harness.state.snapshot().read(), viewer, id, live, moment)
        };
        assert_eq!((see(viewer, true), see(viewer, false)), (status::DND, status::OFFLINE));
        apply(status::INVISIBLE).unwrap();
        assert_eq!((see(viewer, true), see(id, true)), (status::OFFLINE, status::INVISIBLE));
    }
}
