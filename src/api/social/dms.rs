//! Direct messages and the notes channel: opening and listing them.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Id, Needed, fields};
use crate::domain::Result;
use crate::domain::social::dm::{self, DmOpen, NotesOpen};
use crate::id::{ChannelId, UserId};

fn answer_notes(ctx: &mut Ctx<'_>, channel_id: ChannelId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    ctx.json(|out| dm::write_notes(out, snapshot.read(), channel_id))
}

fields! {
    /// With whom.
    pub DM_OPEN: DMChannelCreateRequest {
        recipient_id: Needed<Id> = Needed(Id),
    }
}

pub fn notes_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let user_id = ctx.user_id();
    if let Some(channel_id) = dm::channel_of(ctx.snapshot().read(), user_id, user_id) {
        return answer_notes(ctx, channel_id);
    }
    ctx.submit(NotesOpen {}, answer_notes)
}

pub fn dm_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    ctx.json(|out| dm::write_dms(out, snapshot.read(), user_id))
}

fn answer_dm(ctx: &mut Ctx<'_>, channel_id: ChannelId, recipient: UserId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    ctx.json(|out| dm::DMChannelResponse::write(out, snapshot.read(), channel_id, recipient))
}

pub fn dm_open(ctx: &mut Ctx<'_>) -> Result<Step> {
    let recipient_id = UserId(DM_OPEN.recipient_id.read(&ctx.body()?)?);
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    dm::check_open(snapshot.read(), user_id, recipient_id)?;
    if let Some(channel_id) = dm::channel_of(snapshot.read(), user_id, recipient_id) {
        return answer_dm(ctx, channel_id, recipient_id);
    }
    ctx.submit(DmOpen { recipient_id }, move |ctx, channel_id| answer_dm(ctx, channel_id, recipient_id))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{Account, PASSWORD, payload, register, take_events, text_at};
    use crate::domain::Asking;
    use crate::domain::chat::message::posting_access;
    use crate::domain::{Audience, EventName, intent};
    use crate::id::{ChannelId, MessageId, UserId};
    use crate::store::records::{Message, channel_kind};
    use crate::store::tables::{CHANNELS, MESSAGES};

    fn open(harness: &Harness, who: &Account, whom: u64) -> (u16, String) {
        let body = format!(r#"{{"recipient_id":"{whom}"}}"#);
        harness.request("POST", "/users/@me/channels", Some(&who.token), Some(&body))
    }

    fn list(harness: &Harness, who: &Account) -> String {
        harness.request("GET", "/users/@me/channels", Some(&who.token), None).1
    }

    fn policy(harness: &Harness, who: &Account, policy: &str) {
        let body = format!(r#"{{"allow_dms_from":"{policy}"}}"#);
        let path = "/users/@me/messaging-settings";
        assert_eq!(harness.request("PATCH", path, Some(&who.token), Some(&body)).0, 200);
    }

    fn write(harness: &Harness, channel_id: u64, message_id: u64) {
        let mut tx = harness.state.store.begin().unwrap();
        let message = Message { created_at: harness.state.now_ms(), ..Message::default() };
        tx.put(MESSAGES, (ChannelId(channel_id), MessageId(message_id)), &message);
        tx.commit().unwrap();
        harness.state.set_snapshot(harness.state.store.snapshot());
    }

    #[test]
    fn one_channel_per_pair() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        assert_eq!(list(&harness, &alice), "[]");
        take_events(&harness);
        let (status, text) = open(&harness, &alice, bob.id);
        let id = text_at(&text, &["id"]);
        let seen = |other: &Account, name: &str| {
            format!(
                r#""recipient_id":"{0}","recipient":{{"id":"{0}","username":"{name}"}},"last_message_id":null}}"#,
                other.id
            )
        };
        let head = format!(r#"{{"id":"{id}","type":"dm","channel_type":"dm","#);
        assert_eq!((status, text), (200, format!("{head}{}", seen(&bob, "bob"))));
        let events = take_events(&harness);
        assert_eq!(events.len(), 2);
        for (event, (to, other, name)) in events.iter().zip([(&alice, &bob, "bob"), (&bob, &alice, "alice")])
        {
            assert_eq!((event.name, event.intent), (EventName::ChannelCreate, intent::NONE));
            assert_eq!(event.audience, Audience::user(UserId(to.id)));
            assert_eq!(payload(event), format!(r#"{head}"server_id":null,{}"#, seen(other, name)));
        }
        assert_eq!(open(&harness, &bob, alice.id), (200, format!("{head}{}", seen(&alice, "alice"))));
        assert_eq!(open(&harness, &alice, bob.id).0, 200);
        assert_eq!(take_events(&harness), [], "only the first time");
        assert_eq!(list(&harness, &bob), format!("[{head}{}]", seen(&alice, "alice")));
        let snapshot = harness.state.snapshot();
        let channel = snapshot.read().get(CHANNELS, ChannelId(id.parse().unwrap())).unwrap();
        assert_eq!((channel.kind, channel.server()), (channel_kind::DM, None));
    }

    #[test]
    fn latest_message_comes_first() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let ids: Vec<u64> = ["bob", "carol", "dave"]
            .iter()
            .map(|name| {
                harness.advance(1_000);
                let other = register(&harness, name);
                text_at(&open(&harness, &alice, other.id).1, &["id"]).parse().unwrap()
            })
            .collect();
        let order = || -> Vec<u64> {
            let text = list(&harness, &alice);
            (0..3).map(|index| text_at(&text, &[&index.to_string(), "id"]).parse().unwrap()).collect()
        };
        assert_eq!(order(), [ids[2], ids[1], ids[0]]);
        write(&harness, ids[0], ids[2] + 5);
        assert_eq!(order(), [ids[0], ids[2], ids[1]]);
        let last = text_at(&list(&harness, &alice), &["0", "last_message_id"]);
        assert_eq!(last, (ids[2] + 5).to_string());
    }

    #[test]
    fn refusals() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let post =
            |body: &str| harness.request("POST", "/users/@me/channels", Some(&alice.token), Some(body)).0;
        assert_eq!(
            (post("{}"), post(r#"{"recipient_id":"abc"}"#), post(r#"{"recipient_id":true}"#)),
            (400, 400, 400)
        );
        assert_eq!((open(&harness, &alice, alice.id).0, open(&harness, &alice, 999).0), (400, 404));
        policy(&harness, &bob, "none");
        assert_eq!(open(&harness, &alice, bob.id).0, 403);
        policy(&harness, &bob, "friends");
        assert_eq!(open(&harness, &alice, bob.id).0, 403);
        for (who, whom) in [(&alice, &bob), (&bob, &alice)] {
            let body = format!(r#"{{"user_id":"{}"}}"#, whom.id);
            harness.request("POST", "/relationships", Some(&who.token), Some(&body));
        }
        assert_eq!(open(&harness, &alice, bob.id).0, 200, "friends now");
        let body = format!(r#"{{"user_id":"{}"}}"#, alice.id);
        harness.request("POST", "/relationships/block", Some(&bob.token), Some(&body));
        assert_eq!((open(&harness, &alice, bob.id).0, open(&harness, &bob, alice.id).0), (403, 403));
    }

    #[test]
    fn who_may_write() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let id = ChannelId(text_at(&open(&harness, &alice, bob.id).1, &["id"]).parse().unwrap());
        let (a, b) = (UserId(alice.id), UserId(bob.id));
        let may = |author: UserId| {
            let body = r#"{"content":"x"}"#;
            let token = if author == a { &alice.token } else { &bob.token };
            harness.request("POST", &format!("/channels/{id}/messages"), Some(token), Some(body)).0
        };
        assert_eq!((may(a), may(b)), (200, 200));
        policy(&harness, &bob, "none");
        assert_eq!((may(a), may(b)), (403, 200));
        policy(&harness, &bob, "friends");
        assert_eq!((may(a), may(b)), (403, 200));
        policy(&harness, &bob, "everyone");
        let body = format!(r#"{{"user_id":"{}"}}"#, alice.id);
        harness.request("POST", "/relationships/block", Some(&bob.token), Some(&body));
        assert_eq!((may(a), may(b)), (403, 403));
    }

    #[test]
    fn notes() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let get = || harness.request("GET", "/users/@me/notes", Some(&alice.token), None);
        let (status, text) = get();
        let id: u64 = text_at(&text, &["id"]).parse().unwrap();
        let want = format!(
            r#"{{"id":"{id}","type":"notes","channel_type":"notes","name":"Personal Notes","last_message_id":null,"last_message_at":null}}"#
        );
        assert_eq!((status, text), (200, want.clone()));
        assert_eq!(get(), (200, want));
        write(&harness, id, 77);
        let text = get().1;
        assert_eq!(text_at(&text, &["last_message_id"]), "77");
        assert_eq!(text_at(&text, &["last_message_at"]), "1767225600");
        assert_eq!(list(&harness, &alice), "[]", "notes are no direct message");
        let snapshot = harness.state.snapshot();
        let asking = Asking { read: snapshot.read(), at: 0, who: UserId(alice.id) };
        assert!(posting_access(asking, ChannelId(id)).is_ok());
    }

    #[test]
    fn purged_accounts_get_nothing() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let id = ChannelId(text_at(&open(&harness, &alice, bob.id).1, &["id"]).parse().unwrap());
        let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
        assert_eq!(harness.request("DELETE", "/users/@me", Some(&bob.token), Some(&body)).0, 200);
        harness.advance(30 * 86_400_000);
        let sweep = crate::domain::housekeeping::sweep::Sweep { records_max: 500 };
        harness.apply(&crate::domain::Command::new(UserId(0), sweep.into())).unwrap();
        let again = harness.request(
            "POST",
            "/auth/login",
            None,
            Some(&format!(r#"{{"username":"alice","password":"{PASSWORD}"}}"#)),
        );
        let alice = Account { token: text_at(&again.1, &["token"]), ..alice };
        assert_eq!(open(&harness, &alice, bob.id).0, 404);
        let name = text_at(&list(&harness, &alice), &["0", "recipient", "username"]);
        assert_eq!(name, format!("deleted_{}", bob.id));
        let snapshot = harness.state.snapshot();
        let asking = Asking { read: snapshot.read(), at: 0, who: UserId(alice.id) };
        let refused = posting_access(asking, id).err().unwrap();
        assert_eq!(refused.status, 403);
        let profile = harness.request("GET", &format!("/users/{}", bob.id), Some(&alice.token), None);
        assert_eq!(text_at(&profile.1, &["badges"]), "[]");
        register(&harness, "bob");
    }
}
