//! Notifications: list them, mark them read.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Flag, Int, Or, fields};
use crate::domain::Result;
use crate::domain::chat::notification::{NotificationRead, NotificationsRead, NotificationsResponse, Page};

fields! {
    /// A page of notifications, newest first.
    pub NOTIFICATION_LIST: NotificationListQuery {
        limit: Or<Int, u64> = Or(Int(1..=100), 20),
        unread_only: Or<Flag, bool> = Or(Flag, false),
    }
}

pub fn notification_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let page = Page {
        limit: NOTIFICATION_LIST.limit.query(ctx)? as usize,
        unread_only: NOTIFICATION_LIST.unread_only.query(ctx)?,
    };
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    ctx.json(|out| NotificationsResponse::write(out, snapshot.read(), user_id, page))
}

pub fn notification_read(ctx: &mut Ctx<'_>) -> Result<Step> {
    let message_id = ctx.path_notification()?;
    ctx.submit_success(NotificationRead { message_id })
}

pub fn notification_read_all(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.submit_success(NotificationsRead {})
}

#[cfg(test)]
mod tests {
    use crate::api::testing::START_MS;
    use crate::api::testing::fixture::text_at;
    use crate::api::testing::message_world::*;
    use crate::domain::housekeeping::outbox::{OutboxStep, plan};
    use crate::domain::{Audience, Command, Event, EventName, intent};
    use crate::id::{ChannelId, MessageId, RoleId, UserId};
    use crate::limits::{NOTIFICATION_COUNT_MAX, NOTIFICATION_SURPLUS_MAX};
    use crate::store::records::*;
    use crate::store::tables::*;

    const LIST: &str = "/users/@me/notifications";
    /// As in the world's server.
    const EVERYBODY: RoleId = RoleId(101);
    const CREW: RoleId = RoleId(102);

    /// Whom events of a name went to, with a field of each.
    fn told(events: &[Event], name: EventName, field_name: &str) -> Vec<(Vec<u64>, String)> {
        let of = |event: &Event| match &event.audience {
            Audience::Users(users) => users.iter().map(|id| id.0).collect(),
            Audience::Channel { .. } => vec![0],
            other => panic!("{other:?}"),
        };
        let named = events.iter().filter(|event| event.name == name);
        named.map(|event| (of(event), field(&payload(event), field_name))).collect()
    }

    fn created(world: &World) -> Vec<(Vec<u64>, String)> {
        told(&world.events(), EventName::NotificationCreate, "title")
    }

    fn unread(world: &World, who: UserId) -> String {
        field(&world.ok(who, "GET", LIST, None), "unread_count")
    }

    fn mention(user: UserId) -> String {
        format!("<@{user}>")
    }

    #[test]
    fn a_mention_is_told_and_listed() {
        let world = World::default();
        let text = format!("hi {} ", mention(BOB)) + &"é".repeat(120);
        let id = world.say(ALICE, TEXT, &text);
        let events = world.events();
        assert_eq!(events[0].name, EventName::MessageCreate, "the message comes first");
        assert_eq!((events.len(), events[1].intent), (2, intent::NONE));
        assert_eq!(events[1].audience, Audience::user(BOB));
        let preview: String = text.chars().take(100).collect();
        let want = format!(
            r#"{{"id":"{id}","type":"mention","title":"You were mentioned","content":"{preview}","content_preview":"{preview}","read":false,"created_at":{},"link":"/channels/100/200/{id}","sender_id":"1"}}"#,
            START_MS / 1_000
        );
        assert_eq!(payload(&events[1]), want);
        let all = format!(r#"{{"notifications":[{want}],"unread_count":1}}"#);
        assert_eq!(world.ok(BOB, "GET", LIST, None), all);
        let none = r#"{"notifications":[],"unread_count":0}"#;
        assert_eq!(world.ok(CAROL, "GET", LIST, None), none);
        let id = world.say(BOB, DM, &mention(ALICE));
        let link = text_at(&world.ok(ALICE, "GET", LIST, None), &["notifications", "0", "link"]);
        assert_eq!(link, format!("/channels/@me/300/{id}"));
    }

    #[test]
    fn who_is_not_told() {
        let world = World::default();
        let silent = |who: UserId, channel: ChannelId, text: &str| {
            world.say(who, channel, text);
            assert_eq!(created(&world), [], "{text}");
        };
        silent(BOB, TEXT, &mention(BOB));
        silent(BOB, TEXT, &mention(GINA));
        silent(BOB, TEXT, "<@77> <@&77> @everyone @here");
        silent(BOB, TEXT, &format!("<@&{EVERYBODY}>"));
        silent(ALICE, HIDDEN, &mention(BOB));
        silent(ALICE, MUTE, &mention(BOB));
        silent(ALICE, DM, &format!("{} @everyone <@&{CREW}>", mention(CAROL)));
        silent(ALICE, NOTES, &mention(ALICE));
        let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
        world.write(|tx| tx.put(RELATIONSHIPS, (CAROL, ALICE), &block));
        silent(ALICE, TEXT, &mention(CAROL));
        silent(CAROL, TEXT, &mention(ALICE));
        let focus = |json: &str| {
            let body = format!("{{\"value\":{json:?}}}");
            world.ok(BOB, "PUT", "/users/@me/settings/_focused_channel", Some(&body));
            world.say(ALICE, TEXT, &mention(BOB));
            created(&world).len()
        };
        assert_eq!(focus(r#"{"channel_id":"200","server_id":"100"}"#), 0);
        assert_eq!(focus(r#"{"channel_id":200}"#), 0);
        for elsewhere in ["null", "", r#"{"channel_id":"201"}"#, r#"{"channel_id":null}"#, "[200]"] {
            assert_eq!(focus(elsewhere), 1, "{elsewhere}");
        }
    }

    #[test]
    fn the_most_personal_reason_is_told_once() {
        let world = World::default();
        let texts = [
            (format!("@everyone {}", mention(BOB)), vec![(vec![2], "You"), (vec![3, 4], "@everyone")]),
            (
                format!("<@&{CREW}> @everyone {}", mention(MAX)),
                vec![(vec![4], "You"), (vec![2, 3], "@everyone")],
            ),
            (format!("<@&{CREW}> @everyone @here"), vec![(vec![4], "Your"), (vec![2, 3], "@everyone")]),
            (format!("<@&{CREW}>"), vec![(vec![4], "Your")]),
            (format!("<@&{EVERYBODY}>"), vec![(vec![2, 3, 4], "@everyone")]),
        ];
        for (text, want) in texts {
            world.say(ALICE, TEXT, &text);
            let got: Vec<_> = created(&world)
                .into_iter()
                .map(|(users, title)| (users, title.split(' ').next().unwrap().to_string()))
                .collect();
            let want: Vec<_> = want.into_iter().map(|(users, word)| (users, word.to_string())).collect();
            assert_eq!(got, want, "{text}");
        }
        assert_eq!(world.harness.state.snapshot().read().len(OUTBOX), 0, "few are told with the message");
        assert_eq!(unread(&world, MAX), "5");
    }

    #[test]
    fn here_is_who_is_there() {
        let world = World::default();
        let step = |is_there: &dyn Fn(UserId) -> bool| -> OutboxStep {
            let snapshot = world.harness.state.snapshot();
            plan(snapshot.read(), world.harness.state.now_ms(), 1_200, is_there).expect("an errand")
        };
        world.say(ALICE, TEXT, &format!("@here {}", mention(MAX)));
        assert_eq!(created(&world), [(vec![4], "You were mentioned".to_string())]);
        let step = step(&|user| user != BOB);
        assert_eq!(step.present.as_ref().map(|present| present.users.len()), Some(3));
        // A step that does not know who is there tells nobody, and leaves all to the next.
        let apply = |step: &OutboxStep| world.harness.apply(&Command::new(UserId(0), step.clone().into()));
        apply(&OutboxStep { present: None, ..step }).unwrap();
        assert_eq!(created(&world), []);
        let again = {
            let snapshot = world.harness.state.snapshot();
            plan(snapshot.read(), world.harness.state.now_ms(), 1_200, |user| user != BOB).unwrap()
        };
        apply(&again).unwrap();
        assert_eq!(created(&world), [(vec![3], "@everyone mention".to_string())]);
        assert_eq!(world.harness.state.snapshot().read().len(OUTBOX), 0);
        assert_eq!((unread(&world, BOB), unread(&world, MAX)), ("0".into(), "1".into()));
    }

    #[test]
    fn read_one_by_one_or_all() {
        let world = World::default();
        let ids: Vec<MessageId> = (0..3).map(|_| world.say(ALICE, TEXT, &mention(BOB))).collect();
        world.events();
        let line = |id: MessageId| format!("{LIST}/{id}/read");
        for _ in 0..2 {
            assert_eq!(world.ok(BOB, "PUT", &line(ids[1]), None), r#"{"success":true}"#);
            let events = world.events();
            assert_eq!(payload(&events[0]), format!(r#"{{"id":"{}","read":true}}"#, ids[1]));
            assert_eq!(
                (events[0].name, &events[0].audience),
                (EventName::NotificationUpdate, &Audience::user(BOB))
            );
        }
        world.refused(CAROL, "PUT", &line(ids[1]), None, 404);
        world.refused(BOB, "PUT", &format!("{LIST}/77/read"), None, 404);
        world.refused(BOB, "PUT", &format!("{LIST}/x/read"), None, 400);
        let ids_of = |query: &str| {
            let text = world.ok(BOB, "GET", &format!("{LIST}{query}"), None);
            (column(&field(&text, "notifications"), "id"), field(&text, "unread_count"))
        };
        let texts = |ids: &[MessageId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ids_of(""), (texts(&[ids[2], ids[1], ids[0]]), "2".into()));
        assert_eq!(ids_of("?unread_only=true"), (texts(&[ids[2], ids[0]]), "2".into()));
        assert_eq!(ids_of("?limit=1&unread_only=0"), (texts(&[ids[2]]), "2".into()));
        for query in ["?limit=0", "?limit=101", "?limit=x", "?unread_only=maybe"] {
            world.refused(BOB, "GET", &format!("{LIST}{query}"), None, 400);
        }
        world.ok(BOB, "PUT", &format!("{LIST}/read-all"), None);
        assert_eq!(payload(&world.events()[0]), r#"{"all_read":true}"#);
        assert_eq!(ids_of("?unread_only=1"), (vec![], "0".into()));
        world.say(ALICE, TEXT, &mention(BOB));
        assert_eq!(unread(&world, BOB), "1", "what comes after is not read");
    }

    #[test]
    fn it_goes_with_its_message() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, &format!("{}{}", mention(BOB), mention(CAROL)));
        world.events();
        world.ok(ALICE, "DELETE", &format!("/channels/200/messages/{id}"), None);
        let events = world.events();
        let want = [(vec![2, 3], id.to_string())];
        assert_eq!(told(&events, EventName::NotificationDelete, "id"), want);
        assert_eq!(payload(&events[0]), format!(r#"{{"id":"{id}"}}"#));
        world.refused(BOB, "PUT", &format!("{LIST}/{id}/read"), None, 404);
        assert_eq!(world.ok(BOB, "GET", LIST, None), r#"{"notifications":[],"unread_count":0}"#);
        let snapshot = world.harness.state.snapshot();
        let read = snapshot.read();
        assert_eq!((read.len(NOTIFICATIONS), read.len(NOTIFIED), read.len(NOTICES)), (0, 0, 0));
        // An edit tells nobody, and nobody reads it in what was told before.
        let id = world.say(ALICE, TEXT, &mention(BOB));
        let body = format!("{{\"content\":\"secret {}\"}}", mention(CAROL));
        world.events();
        world.ok(ALICE, "PATCH", &format!("/channels/200/messages/{id}"), Some(&body));
        assert_eq!(created(&world), []);
        assert!(!world.ok(BOB, "GET", LIST, None).contains("secret"));
    }

    #[test]
    fn leaving_takes_nothing_away() {
        let world = World::default();
        world.say(ALICE, TEXT, &mention(BOB));
        world.ok(BOB, "POST", "/servers/100/leave", None);
        assert_eq!(unread(&world, BOB), "1");
    }

    /// Members beyond those of the world.
    fn crowd(world: &World, count: u64) {
        world.write(|tx| {
            for id in (1_000..1_000 + count).map(UserId) {
                tx.put(USERS, id, &User { username: format!("u{id}"), ..User::default() });
                tx.put(MEMBERS, (SERVER, id), &Member::default());
                tx.put(USER_SERVERS, (id, SERVER), &Nil {});
            }
        });
    }

    #[test]
    fn everybody_of_many_is_told_once_in_steps() {
        let world = World::default();
        crowd(&world, 500);
        let id = world.say(ALICE, TEXT, &format!("@everyone {}", mention(UserId(1_499))));
        let at_once: usize = created(&world).iter().map(|(users, _)| users.len()).sum();
        assert!((2..50).contains(&at_once), "{at_once}");
        world.harness.run_errands();
        let steps = created(&world);
        assert!(steps.len() > 5 && steps.iter().all(|(users, _)| users.len() < 100), "{steps:?}");
        let rest: usize = steps.iter().map(|(users, _)| users.len()).sum();
        assert_eq!(at_once + rest, 503);
        assert_eq!(world.harness.state.snapshot().read().len(NOTIFICATIONS), 503);
        // Of so many those who can read the channel hear that it is gone.
        world.ok(ALICE, "DELETE", &format!("/channels/200/messages/{id}"), None);
        assert_eq!(told(&world.events(), EventName::NotificationDelete, "id"), [(vec![0], id.to_string())]);
        assert_eq!(unread(&world, BOB), "0");
    }

    #[test]
    fn a_message_that_is_deleted_tells_nobody_else() {
        let world = World::default();
        crowd(&world, 200);
        let id = world.say(ALICE, TEXT, "@everyone");
        world.events();
        world.write(|tx| assert_eq!(tx.read().len(OUTBOX), 1));
        let path = format!("/channels/200/messages/{id}");
        world.ok(ALICE, "DELETE", &path, None);
        world.events();
        world.harness.run_errands();
        assert_eq!(created(&world), []);
        let snapshot = world.harness.state.snapshot();
        assert_eq!((snapshot.read().len(NOTIFICATIONS), snapshot.read().len(OUTBOX)), (0, 0));
    }

    #[test]
    fn of_very_many_the_newest_stay() {
        let world = World::default();
        let most = NOTIFICATION_COUNT_MAX + NOTIFICATION_SURPLUS_MAX;
        let text = mention(BOB);
        for count in 1..=most + 1 {
            world.say(ALICE, TEXT, &text);
            if count == most {
                assert_eq!(world.harness.state.snapshot().read().len(NOTIFICATIONS), most as u64);
                assert_eq!(unread(&world, BOB), NOTIFICATION_COUNT_MAX.to_string());
            }
        }
        let snapshot = world.harness.state.snapshot();
        assert_eq!(snapshot.read().len(NOTIFICATIONS), NOTIFICATION_COUNT_MAX as u64);
        assert_eq!(snapshot.read().len(NOTIFIED), NOTIFICATION_COUNT_MAX as u64);
        assert_eq!(unread(&world, BOB), NOTIFICATION_COUNT_MAX.to_string());
    }
}
