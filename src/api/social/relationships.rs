//! Friends, requests, blocks.

use super::presence::moment;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Id, Needed, Prose, fields};
use crate::domain::social::presence;
use crate::domain::social::relationship::{self, Block, FriendAccept, FriendRequest, RelationshipRemove};
use crate::domain::{Operation, Result};
use crate::id::UserId;
use crate::limits::{FRIEND_MESSAGE_LEN_MAX, RELATIONSHIP_COUNT_MAX};
use crate::store::tables::RELATIONSHIPS;
use crate::wire::json::Array;

fields! {
    /// With whom to become friends.
    pub FRIEND_REQUEST: FriendRequestCreate {
        user_id: Needed<Id> = Needed(Id),
        /// Shown to him with the request.
        message: Prose = Prose(FRIEND_MESSAGE_LEN_MAX),
    }
}

fields! {
    /// Whom to block.
    pub BLOCK: BlockCreate {
        user_id: Needed<Id> = Needed(Id),
    }
}

pub fn relationship_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id, state, moment) = (ctx.snapshot(), ctx.user_id(), ctx.state, moment(ctx));
    let read = snapshot.read();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for ((_, other), item) in read.scan(RELATIONSHIPS, user_id).take(RELATIONSHIP_COUNT_MAX) {
            let shown = presence::shown(read, user_id, other, state.liveness(other), moment);
            relationship::DetailedRelationshipInfo::write(list.item(), read, other, item, shown);
        }
    })
}

/// Submits and answers with how the relationship stands then.
fn submit_relationship(ctx: &Ctx<'_>, op: impl Operation, other: UserId) -> Result<Step> {
    ctx.submit(op, move |ctx, _| {
        let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
        relationship::write_relationship(&mut ctx.response.body, snapshot.read(), user_id, other)?;
        Ok(Step::Done)
    })
}

pub fn friend_request(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let other = UserId(FRIEND_REQUEST.user_id.read(&body)?);
    let message = FRIEND_REQUEST.message.read(&body)?.filter(|text| !text.is_empty());
    relationship::check_request(ctx.snapshot().read(), ctx.user_id(), other)?;
    submit_relationship(ctx, FriendRequest { user_id: other, message }, other)
}

pub fn block(ctx: &mut Ctx<'_>) -> Result<Step> {
    let other = UserId(BLOCK.user_id.read(&ctx.body()?)?);
    relationship::check_block(ctx.snapshot().read(), ctx.user_id(), other)?;
    submit_relationship(ctx, Block { user_id: other }, other)
}

pub fn friend_accept(ctx: &mut Ctx<'_>) -> Result<Step> {
    let user_id = ctx.path_user()?;
    ctx.submit_success(FriendAccept { user_id })
}

pub fn relationship_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let user_id = ctx.path_user()?;
    ctx.submit_success(RelationshipRemove { user_id })
}

#[cfg(test)]
mod tests {
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{Account, payload, register, take_events, text_at};
    use crate::domain::{Audience, EventName};
    use crate::id::UserId;
    use crate::store::records::{Relationship, relation};
    use crate::store::tables::RELATIONSHIPS;

    struct World {
        harness: Harness,
        alice: Account,
        bob: Account,
    }

    fn world() -> World {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        World { harness, alice, bob }
    }

    impl World {
        fn request(&self, who: &Account, body: &str) -> (u16, String) {
            self.harness.request("POST", "/relationships", Some(&who.token), Some(body))
        }

        fn ask(&self, who: &Account, whom: &Account) -> u16 {
            self.request(who, &format!(r#"{{"user_id":"{}"}}"#, whom.id)).0
        }

        fn block(&self, who: &Account, whom: u64) -> u16 {
            let body = format!(r#"{{"user_id":{whom}}}"#);
            self.harness.request("POST", "/relationships/block", Some(&who.token), Some(&body)).0
        }

        fn accept(&self, who: &Account, whom: &Account) -> u16 {
            let path = format!("/relationships/{}/accept", whom.id);
            self.harness.request("PUT", &path, Some(&who.token), None).0
        }

        fn delete(&self, who: &Account, whom: &Account) -> u16 {
            let path = format!("/relationships/{}", whom.id);
            self.harness.request("DELETE", &path, Some(&who.token), None).0
        }

        fn list(&self, who: &Account) -> String {
            let (status, text) = self.harness.request("GET", "/relationships/@me", Some(&who.token), None);
            assert_eq!(status, 200);
            text
        }

        fn status(&self, who: &Account) -> String {
            let text = self.list(who);
            if text == "[]" { "none".into() } else { text_at(&text, &["0", "status"]) }
        }

        /// Events as name, recipient, payload.
        fn events(&self) -> Vec<(EventName, u64, String)> {
            let events = take_events(&self.harness);
            let one = |audience: &Audience| match audience {
                Audience::Users(users) if users.len() == 1 => users[0].0,
                other => panic!("{other:?}"),
            };
            events.iter().map(|event| (event.name, one(&event.audience), payload(event))).collect()
        }
    }

    #[test]
    fn request_and_accept() {
        let w = world();
        assert_eq!(w.list(&w.alice), "[]");
        w.events();
        let body = format!(r#"{{"user_id":"{}","message":"hi bob"}}"#, w.bob.id);
        let want =
            format!(r#"{{"user_id":"{}","status":"pending_outgoing","created_at":1767225600}}"#, w.bob.id);
        assert_eq!(w.request(&w.alice, &body), (200, want));
        let (alice, bob) = (w.alice.id, w.bob.id);
        let add = |to: u64, text: String| (EventName::RelationshipAdd, to, text);
        assert_eq!(
            w.events(),
            [
                add(
                    alice,
                    format!(
                        r#"{{"user_id":"{bob}","username":"bob","status":"pending_outgoing","created_at":1767225600}}"#
                    )
                ),
                add(
                    bob,
                    format!(
                        r#"{{"user_id":"{alice}","username":"alice","status":"pending_incoming","created_at":1767225600,"message":"hi bob"}}"#
                    )
                ),
            ]
        );
        assert_eq!(
            w.list(&w.bob),
            format!(
                r#"[{{"user_id":"{alice}","username":"alice","avatar_url":"/api/v1/avatars/users/{alice}","status":"pending_incoming","presence":{{"status":"offline"}},"message":"hi bob","created_at":1767225600}}]"#
            )
        );
        assert_eq!(text_at(&w.list(&w.alice), &["0", "message"]), "null");
        assert_eq!(w.ask(&w.alice, &w.bob), 409, "sent already");
        assert_eq!(w.accept(&w.alice, &w.bob), 404, "nobody accepts his own request");
        assert_eq!(w.accept(&w.bob, &w.alice), 200);
        let accepted = take_events(&w.harness);
        let about: Vec<Option<UserId>> = accepted.iter().map(|event| event.presence_of).collect();
        assert_eq!(about, [Some(UserId(alice)), Some(UserId(bob))]);
        assert_eq!((w.status(&w.alice), w.status(&w.bob)), ("friend".into(), "friend".into()));
        assert_eq!(text_at(&w.list(&w.bob), &["0", "message"]), "null");
        assert_eq!((w.accept(&w.bob, &w.alice), w.ask(&w.bob, &w.alice)), (404, 409));
    }

    #[test]
    fn crossing_requests_make_friends() {
        let w = world();
        assert_eq!((w.ask(&w.alice, &w.bob), w.ask(&w.bob, &w.alice)), (200, 200));
        assert_eq!((w.status(&w.alice), w.status(&w.bob)), ("friend".into(), "friend".into()));
    }

    #[test]
    fn refusals() {
        let w = world();
        let long = "m".repeat(257);
        for (body, status) in [
            ("{}".to_string(), 400),
            (r#"{"user_id":"abc"}"#.into(), 400),
            (r#"{"user_id":"999"}"#.into(), 404),
            (r#"{"user_id":"0"}"#.into(), 404),
            (format!(r#"{{"user_id":"{}"}}"#, w.alice.id), 400),
            (format!(r#"{{"user_id":"{}","message":"{long}"}}"#, w.bob.id), 400),
            (format!(r#"{{"user_id":"{}","message":5}}"#, w.bob.id), 400),
        ] {
            assert_eq!(w.request(&w.alice, &body).0, status, "{body}");
        }
        assert_eq!((w.block(&w.alice, w.alice.id), w.block(&w.alice, 999)), (400, 404));
        let bad = |method: &str, path: &str| w.harness.request(method, path, Some(&w.alice.token), None).0;
        assert_eq!((bad("PUT", "/relationships/abc/accept"), bad("DELETE", "/relationships/x")), (400, 400));
        assert_eq!((w.delete(&w.alice, &w.bob), w.accept(&w.alice, &w.bob)), (404, 404));
        assert_eq!(w.harness.request("GET", "/relationships/@me", None, None).0, 401);
    }

    #[test]
    fn unfriend_decline_and_cancel_tell_both() {
        let w = world();
        let (alice, bob) = (w.alice.id, w.bob.id);
        for (accepted, by_alice) in [(true, true), (false, false), (false, true)] {
            w.ask(&w.alice, &w.bob);
            if accepted {
                w.accept(&w.bob, &w.alice);
            }
            w.events();
            let (who, whom) = if by_alice { (&w.alice, &w.bob) } else { (&w.bob, &w.alice) };
            assert_eq!(w.delete(who, whom), 200);
            let mut events = w.events();
            events.sort_by_key(|event| event.1);
            let removed = |to: u64, other: u64| {
                (EventName::RelationshipRemove, to, format!(r#"{{"user_id":"{other}"}}"#))
            };
            assert_eq!(events, [removed(alice, bob), removed(bob, alice)]);
            assert_eq!((w.status(&w.alice), w.status(&w.bob)), ("none".into(), "none".into()));
        }
    }

    #[test]
    fn a_block_is_seen_by_the_blocker_only() {
        let w = world();
        let (alice, bob) = (w.alice.id, w.bob.id);
        w.ask(&w.alice, &w.bob);
        w.accept(&w.bob, &w.alice);
        w.events();
        assert_eq!(w.block(&w.alice, bob), 200);
        let names: Vec<(EventName, u64)> = w.events().into_iter().map(|event| (event.0, event.1)).collect();
        assert_eq!(names, [(EventName::RelationshipRemove, bob), (EventName::RelationshipAdd, alice)]);
        assert_eq!((w.status(&w.alice), w.status(&w.bob)), ("blocked".into(), "none".into()));
        assert_eq!(w.block(&w.alice, bob), 409);
        assert_eq!((w.ask(&w.bob, &w.alice), w.ask(&w.alice, &w.bob)), (403, 403));
        assert_eq!(w.delete(&w.bob, &w.alice), 404, "not his to lift");

        assert_eq!(w.block(&w.bob, alice), 200, "both ways");
        w.events();
        assert_eq!(w.delete(&w.alice, &w.bob), 200);
        assert_eq!(w.events(), [(EventName::RelationshipRemove, alice, format!(r#"{{"user_id":"{bob}"}}"#))]);
        assert_eq!((w.status(&w.alice), w.status(&w.bob)), ("none".into(), "blocked".into()));
        assert_eq!(w.ask(&w.alice, &w.bob), 403);
        assert_eq!(w.delete(&w.bob, &w.alice), 200);
        assert_eq!(w.ask(&w.alice, &w.bob), 200);
    }

    #[test]
    fn a_full_list_takes_no_more() {
        let w = world();
        let mut tx = w.harness.state.store.begin().unwrap();
        for other in 0..super::RELATIONSHIP_COUNT_MAX as u64 {
            let pending = Relationship { kind: relation::PENDING_INCOMING, ..Relationship::default() };
            tx.put(RELATIONSHIPS, (UserId(w.bob.id), UserId(other)), &pending);
        }
        tx.commit().unwrap();
        w.harness.state.set_snapshot(w.harness.state.store.snapshot());
        assert_eq!((w.ask(&w.alice, &w.bob), w.ask(&w.bob, &w.alice)), (400, 400));
        assert_eq!((w.block(&w.bob, w.alice.id), w.block(&w.alice, w.bob.id)), (400, 200));
    }

    #[test]
    fn presence_stands_in_the_list() {
        let w = world();
        w.ask(&w.alice, &w.bob);
        w.harness.request("PUT", "/users/@me/presence", Some(&w.bob.token), Some(r#"{"status":"dnd"}"#));
        assert_eq!(text_at(&w.list(&w.alice), &["0", "presence", "status"]), "dnd");
        w.block(&w.alice, w.bob.id);
        assert_eq!(text_at(&w.list(&w.alice), &["0", "presence", "status"]), "offline");
    }
}
