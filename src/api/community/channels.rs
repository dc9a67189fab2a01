//! Channels: list and create in a server; get, edit, delete by id.

use std::ops::RangeInclusive;

use crate::api::body::Body;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Id, Int, Name, Needed, Or, Prose, Word, fields};
use crate::api::texts;
use crate::config::Config;
use crate::domain::community::channel::{self, ChannelCreate, ChannelDelete, ChannelEdit, manageable};
use crate::domain::permission::CHANNELS_MANAGE;
use crate::domain::{Error, Refusal, Result};
use crate::id::ChannelId;
use crate::store::records::channel_kind;
use crate::store::tables::CHANNELS;

/// Characters of a topic.
const TOPIC_LEN_MAX: usize = 1_024;
/// Six hours.
const SLOWMODE_SECONDS_MAX: u64 = 21_600;

fn name_range(config: &Config) -> RangeInclusive<usize> {
    1..=config.servers.channel_name_max_length as usize
}

/// What a channel of a server can be.
const KIND_WORDS: &[&str] = &["text", "voice", "category", "announcement", "stage"];

fields! {
    /// A new channel.
    pub CHANNEL_CREATE: ChannelCreateRequest {
        /// Of text and announcement channels in small letters, with dashes for blanks.
        name: Needed<Name> = Needed(Name(Chars::Configured(name_range))),
        channel_type: Word = Word(KIND_WORDS),
        /// Another name of `channel_type`.
        r#type: Word = Word(KIND_WORDS),
        topic: Prose = Prose(TOPIC_LEN_MAX),
        category_id: Id = Id,
        nsfw: Or<Flag, bool> = Or(Flag, false),
        slowmode_seconds: Or<Int, u64> = Or(Int(0..=SLOWMODE_SECONDS_MAX), 0),
        read_receipts_enabled: Or<Flag, bool> = Or(Flag, true),
    }
}

fields! {
    /// What changes of a channel; the rest stays.
    pub CHANNEL_EDIT: ChannelUpdateRequest {
        name: Name = Name(Chars::Configured(name_range)),
        /// A blank one takes it away.
        topic: Prose = Prose(TOPIC_LEN_MAX),
        position: Int = Int(0..=u64::MAX),
        nsfw: Flag = Flag,
        slowmode_seconds: Int = Int(0..=SLOWMODE_SECONDS_MAX),
        read_receipts_enabled: Flag = Flag,
    }
}

pub fn channel_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    let standing = ctx.asking(&snapshot).server(server_id)?;
    ctx.json(|out| channel::write_list(out, &standing))
}

pub fn channel_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    ctx.asking(&ctx.snapshot()).server(server_id)?.require(CHANNELS_MANAGE)?;
    let body = ctx.body()?;
    let kind = kind(&body)?;
    let name = name(ctx, &body, kind, None)?;
    let op = ChannelCreate {
        server_id,
        name: name.ok_or_else(|| Error::invalid("name", "this field is required"))?,
        kind,
        topic: CHANNEL_CREATE.topic.read(&body)?,
        category_id: CHANNEL_CREATE.category_id.read(&body)?.map(ChannelId),
        nsfw: CHANNEL_CREATE.nsfw.read(&body)?,
        slowmode_seconds: CHANNEL_CREATE.slowmode_seconds.read(&body)?,
        read_receipts_enabled: CHANNEL_CREATE.read_receipts_enabled.read(&body)?,
    };
    ctx.submit(op, answer)
}

pub fn channel_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    ctx.asking(&ctx.snapshot()).channel(channel_id)?;
    answer(ctx, channel_id)
}

pub fn channel_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let snapshot = ctx.snapshot();
    let (_, access) = manageable(ctx.asking(&snapshot), channel_id)?;
    let body = ctx.body()?;
    let op = ChannelEdit {
        channel_id,
        name: name(ctx, &body, access.channel.kind, Some(&access.channel.name))?,
        topic: CHANNEL_EDIT.topic.read(&body)?,
        position: CHANNEL_EDIT.position.read(&body)?,
        nsfw: CHANNEL_EDIT.nsfw.read(&body)?,
        slowmode_seconds: CHANNEL_EDIT.slowmode_seconds.read(&body)?,
        read_receipts_enabled: CHANNEL_EDIT.read_receipts_enabled.read(&body)?,
    };
    ctx.submit(op, move |ctx, _| answer(ctx, channel_id))
}

pub fn channel_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    manageable(ctx.asking(&ctx.snapshot()), channel_id)?;
    ctx.submit_success(ChannelDelete { channel_id })
}

fn answer(ctx: &mut Ctx<'_>, channel_id: ChannelId) -> Result<Step> {
    let (snapshot, viewer) = (ctx.snapshot(), ctx.user_id());
    let read = snapshot.read();
    let record = read.get(CHANNELS, channel_id).ok_or(Refusal::ChannelNotFound)?;
    ctx.json(|out| channel::ChannelResponse::write(out, read, channel_id, record, viewer))
}

/// The kind of a new channel: `channel_type`, or its alias `type`.
fn kind(body: &Body<'_>) -> Result<u8> {
    let (long, short) = (&CHANNEL_CREATE.channel_type, &CHANNEL_CREATE.r#type);
    let field = if body.value(long.name).is_some() { long } else { short };
    let word = field.read(body)?.unwrap_or(channel_kind::text(channel_kind::TEXT));
    Ok(channel_kind::code(word).expect("each of these words is a kind"))
}

fn name(ctx: &Ctx<'_>, body: &Body<'_>, kind: u8, stored: Option<&str>) -> Result<Option<String>> {
    texts::channel_name(body, kind, *name_range(&ctx.state.config).end(), stored)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::api::testing::fixture::{payload, text_at};
    use crate::api::testing::server_world::{Person, World, server_id, text_of};
    use crate::domain::{Audience, Event, EventName, Output};
    use crate::id::{ChannelId, UserId};
    use crate::store::records::{Channel, Nil, Override, channel_kind};
    use crate::store::tables::{CHANNEL_GARBAGE, CHANNELS, OVERRIDES, SERVER_CHANNELS};
    use crate::wire::json;

    fn two() -> (World, Person, Person, String, String) {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, channel) = world.server(&alice, &[&bob]);
        (world, alice, bob, server, channel)
    }

    /// Creates a channel; returns its path.
    fn create(world: &World, person: &Person, server: &str, json: &str) -> String {
        let body = world.ok(person, "POST", &format!("{server}/channels"), json);
        format!("/channels/{}", text_of(&body, "id"))
    }

    /// Names and positions in the order of the list.
    fn order(world: &World, person: &Person, server: &str) -> String {
        let body = world.ok(person, "GET", &format!("{server}/channels"), "");
        let channels = body.split("{\"id\"").skip(1).map(|channel| {
            let position = channel.split("\"position\":").nth(1).unwrap();
            format!("{}{}", text_of(channel, "name"), &position[..position.find(',').unwrap()])
        });
        channels.collect::<Vec<_>>().join(" ")
    }

    fn id(path: &str) -> ChannelId {
        ChannelId::parse(path.strip_prefix("/channels/").unwrap()).unwrap()
    }

    #[test]
    fn create_get_list() {
        let (world, alice, bob, server, _) = two();
        let path = format!("{server}/channels");
        let body = world.ok(&alice, "POST", &path, r#"{"name":"With Spaces & CAPS","topic":"talk"}"#);
        let want = format!(
            r#"{{"id":"{}","server_id":"{}","name":"with-spaces-caps","channel_type":"text","topic":"talk","position":1,"category_id":null,"nsfw":false,"slowmode_seconds":0,"read_receipts_enabled":true,"created_at":1767225600,"recipient_id":null,"recipient":null}}"#,
            text_of(&body, "id"),
            server_id(&server)
        );
        assert_eq!(body, want);
        assert_eq!(world.payload("CHANNEL_CREATE"), want);
        assert_eq!(world.known(), ["CHANNEL_CREATE to channel channels.view"]);
        assert_eq!(world.ok(&bob, "GET", &format!("/channels/{}", text_of(&body, "id")), ""), want);
        create(&world, &alice, &server, r#"{"name":"Big Room","channel_type":"voice"}"#);
        let category = create(&world, &alice, &server, r#"{"name":"Cat","type":"category"}"#);
        let json = format!(
            r#"{{"name":"in","category_id":"{}","nsfw":true,"slowmode_seconds":30,"read_receipts_enabled":false}}"#,
            id(&category)
        );
        let body = world.ok(&alice, "POST", &path, &json);
        let want = format!(
            r#""category_id":"{}","nsfw":true,"slowmode_seconds":30,"read_receipts_enabled":false"#,
            id(&category)
        );
        assert!(body.contains(&want), "{body}");
        let want = "general0 with-spaces-caps1 Big Room2 Cat3 in4";
        assert_eq!(order(&world, &bob, &server), want);
        assert_eq!(world.actions(&alice, &server, 1), ["channel_create"]);
    }

    #[test]
    fn create_refuses() {
        let (world, alice, bob, server, channel) = two();
        let gina = world.user(3, "gina");
        let path = format!("{server}/channels");
        world.refused(&gina, ("POST", &path, r#"{"name":"hax"}"#), 403, "not a member");
        world.refused(&bob, ("POST", &path, r#"{"name":"hax"}"#), 403, "channels.manage");
        world.refused(&alice, ("POST", "/servers/77/channels", r#"{"name":"tmp"}"#), 404, "Server not found");
        let check = |json: &str, text: &str| world.refused(&alice, ("POST", &path, json), 400, text);
        check("{}", "Invalid name: this field is required");
        check(r#"{"name":""}"#, "Invalid name");
        check(r#"{"name":"!!!"}"#, "Invalid name");
        check(&format!(r#"{{"name":"{}"}}"#, "n".repeat(101)), "Invalid name");
        check(r#"{"name":"a","channel_type":"dm"}"#, "Invalid channel_type");
        check(r#"{"name":"a","type":"thread"}"#, "Invalid type");
        check(r#"{"name":"a","channel_type":0}"#, "Invalid channel_type");
        check(r#"{"name":"a","slowmode_seconds":21601}"#, "Invalid slowmode_seconds");
        check(r#"{"name":"a","slowmode_seconds":-1}"#, "Invalid slowmode_seconds");
        check(&format!(r#"{{"name":"a","topic":"{}"}}"#, "t".repeat(1_025)), "Invalid topic");
        check(r#"{"name":"a","nsfw":"yes"}"#, "Invalid nsfw");
        check(r#"{"name":"a","category_id":"77"}"#, "Invalid category_id");
        check(&format!(r#"{{"name":"a","category_id":"{}"}}"#, id(&channel)), "Invalid category_id");
        let category = create(&world, &alice, &server, r#"{"name":"Cat","type":"category"}"#);
        let json = format!(r#"{{"name":"a","type":"category","category_id":"{}"}}"#, id(&category));
        check(&json, "cannot stand in a category");
        let (other, _) = world.server(&alice, &[]);
        let json = format!(r#"{{"name":"a","category_id":"{}"}}"#, id(&category));
        world.refused(&alice, ("POST", &format!("{other}/channels"), &json), 400, "Invalid category_id");
        let store = world.harness.state.store.clone();
        let mut tx = store.begin().unwrap();
        for index in 1..=498u64 {
            let channel = Channel { server_id: server_id(&server), position: 10, ..Channel::default() };
            tx.put(CHANNELS, ChannelId(index), &channel);
            tx.put(SERVER_CHANNELS, (server_id(&server), ChannelId(index)), &Nil {});
        }
        tx.commit().unwrap();
        world.harness.state.set_snapshot(store.snapshot());
        check(r#"{"name":"a"}"#, "at most 500 channels");
    }

    #[test]
    fn edit_changes_and_moves() {
        let (world, alice, bob, server, channel) = two();
        let paths: Vec<String> = ["b", "c", "d"]
            .map(|name| create(&world, &alice, &server, &format!(r#"{{"name":"{name}"}}"#)))
            .into();
        world.known();
        let json = r#"{"topic":"new","position":2,"name":"Start Here"}"#;
        let body = world.ok(&alice, "PATCH", &channel, json);
        assert!(body.contains(r#""name":"start-here","channel_type":"text","topic":"new","position":2"#));
        assert_eq!(order(&world, &bob, &server), "b0 c1 start-here2 d3");
        assert_eq!(world.known(), ["CHANNEL_UPDATE to channel channels.view"; 3]);
        let log = world.ok(&alice, "GET", &format!("{server}/audit-logs?limit=1"), "");
        let want = r#""changes":{"name":{"old":"general","new":"start-here"},"topic":{"old":null,"new":"new"},"position":{"old":0,"new":2}}"#;
        assert!(log.contains(want), "{log}");
        assert_eq!(world.ok(&alice, "PATCH", &channel, "{}"), body);
        assert_eq!(world.known(), Vec::<String>::new());
        world.ok(&alice, "PATCH", &paths[0], r#"{"position":99}"#);
        assert_eq!(order(&world, &bob, &server), "c0 start-here1 d2 b3");
        world.ok(&alice, "PATCH", &paths[0], r#"{"position":0,"slowmode_seconds":5}"#);
        assert_eq!(order(&world, &bob, &server), "b0 c1 start-here2 d3");
        world.refused(&bob, ("PATCH", &channel, "nonsense"), 403, "channels.manage");
        for json in [r#"{"name":""}"#, r#"{"slowmode_seconds":-1}"#, r#"{"position":-1}"#, r#"{"nsfw":1}"#] {
            world.refused(&alice, ("PATCH", &channel, json), 400, "Invalid ");
        }
    }

    #[test]
    fn delete() {
        let (world, alice, bob, server, channel) = two();
        let category = create(&world, &alice, &server, r#"{"name":"Cat","type":"category"}"#);
        let json = format!(r#"{{"name":"in","category_id":"{}"}}"#, id(&category));
        let inside = create(&world, &alice, &server, &json);
        world.known();
        world.refused(&bob, ("DELETE", &channel, ""), 403, "channels.manage");
        assert_eq!(world.ok(&alice, "DELETE", &channel, ""), r#"{"success":true}"#);
        let payload = format!(r#"{{"id":"{}","server_id":"{}"}}"#, id(&channel), server_id(&server));
        assert_eq!(world.payload("CHANNEL_DELETE"), payload);
        assert_eq!(
            world.known(),
            [
                "CHANNEL_DELETE to channel channels.view",
                "INVITE_DELETE to members with invites.manage",
                "CHANNEL_UPDATE to channel channels.view",
                "CHANNEL_UPDATE to channel channels.view",
                "GUILD_UPDATE to members"
            ]
        );
        assert!(world.ok(&bob, "GET", &server, "").contains(r#""default_channel_id":null"#));
        assert_eq!(world.ok(&alice, "GET", &format!("{server}/invites"), ""), "[]");
        for method in ["GET", "DELETE"] {
            world.refused(&alice, (method, &channel, ""), 404, "Channel not found");
        }
        assert!(world.harness.state.snapshot().read().contains(CHANNEL_GARBAGE, id(&channel)));
        world.ok(&alice, "DELETE", &category, "");
        assert!(world.ok(&bob, "GET", &inside, "").contains(r#""category_id":null"#));
        assert_eq!(
            world.known(),
            ["CHANNEL_DELETE to channel channels.view", "CHANNEL_UPDATE to channel channels.view"]
        );
        assert_eq!(world.actions(&alice, &server, 1), ["channel_delete"]);
    }

    #[test]
    fn moves_after_deletions_end_where_they_were_asked_to() {
        let (world, alice, bob, server, channel) = two();
        let paths: Vec<String> = ["b", "c", "d", "e", "f"]
            .map(|name| create(&world, &alice, &server, &format!(r#"{{"name":"{name}"}}"#)))
            .into();
        world.ok(&alice, "DELETE", &paths[0], "");
        world.ok(&alice, "DELETE", &paths[2], "");
        assert_eq!(order(&world, &bob, &server), "general0 c1 e2 f3");
        let move_to = |path: &str, position: u64, want: &str| {
            let body = world.ok(&alice, "PATCH", path, &format!(r#"{{"position":{position}}}"#));
            assert!(body.contains(&format!("\"position\":{},", position.min(3))), "{body}");
            assert_eq!(order(&world, &bob, &server), want);
        };
        move_to(&paths[4], 2, "general0 c1 f2 e3");
        move_to(&channel, 2, "c0 f1 general2 e3");
        move_to(&paths[3], 3, "c0 f1 general2 e3");
        move_to(&paths[1], 3, "f0 general1 e2 c3");
        move_to(&paths[1], 0, "c0 f1 general2 e3");
        move_to(&paths[1], 77, "f0 general1 e2 c3");
        create(&world, &alice, &server, r#"{"name":"z"}"#);
        assert_eq!(order(&world, &bob, &server), "f0 general1 e2 c3 z4");
    }

    /// What a client knows of the channels of a server: position and category by id, kept by the events alone.
    fn learn(known: &mut BTreeMap<String, (String, String)>, world: &World) -> usize {
        let mut count = 0;
        for output in world.harness.outputs.borrow_mut().drain(..) {
            let Output::Event(event) = output else { continue };
            let text = payload(&event);
            match event.name {
                EventName::ChannelUpdate => {
                    count += 1;
                    let mut learn_one = |text: &str| {
                        let field = |name| text_at(text, &[name]);
                        known.insert(field("id"), (field("position"), field("category_id")));
                    };
                    learn_one(&text);
                    if text.contains("\"channels\":[") {
                        let mut list = text_at(&text, &["channels"]).into_bytes();
                        let list = json::parse(&mut list).unwrap();
                        list.as_array().unwrap().iter().for_each(|item| learn_one(&item.to_json()));
                    }
                }
                EventName::ChannelDelete => drop(known.remove(&text_at(&text, &["id"]))),
                _ => {}
            }
        }
        count
    }

    fn listed(world: &World, person: &Person, server: &str) -> BTreeMap<String, (String, String)> {
        let mut list = world.ok(person, "GET", &format!("{server}/channels"), "").into_bytes();
        let list = json::parse(&mut list).unwrap();
        let entry = |item: &json::Value<'_>| {
            let text = item.to_json();
            let field = |name| text_at(&text, &[name]);
            (field("id"), (field("position"), field("category_id")))
        };
        list.as_array().unwrap().iter().map(entry).collect()
    }

    #[test]
    fn a_reorder_among_many_is_one_event_and_hides_what_is_hidden() {
        let (world, alice, bob, server, channel) = two();
        let category = create(&world, &alice, &server, r#"{"name":"Cat","type":"category"}"#);
        let json = format!(r#"{{"name":"in","category_id":"{}"}}"#, id(&category));
        let mut paths: Vec<String> = (0..60).map(|_| create(&world, &alice, &server, &json)).collect();
        let everyone = text_of(&world.ok(&alice, "GET", &format!("{server}/roles"), ""), "id").to_string();
        let hidden = paths.remove(30);
        let deny = Override { allow: 0, deny: crate::domain::permission::CHANNELS_VIEW };
        world.put(OVERRIDES, (id(&hidden), 0, everyone.parse::<u64>().unwrap()), &deny);
        let mut known = listed(&world, &alice, &server);
        world.known();
        let mut check = |method: &str, path: &str, json: &str, count: usize| {
            world.ok(&alice, method, path, json);
            let about_hidden = |event: &Event| payload(event).contains(&id(&hidden).to_string());
            for output in world.harness.outputs.borrow().iter() {
                let Output::Event(event) = output else { continue };
                let of_hidden = matches!(event.audience, Audience::Channel { channel_id, .. } if channel_id == id(&hidden));
                assert_eq!(about_hidden(event), of_hidden, "{}", payload(event));
            }
            assert_eq!(learn(&mut known, &world), count, "{method} {path} {json}");
            assert_eq!(known, listed(&world, &alice, &server));
        };
        // One for all that are open, one for the hidden channel.
        check("PATCH", &channel, r#"{"position":61}"#, 2);
        check("PATCH", &channel, r#"{"position":0,"topic":"back"}"#, 2);
        check("PATCH", &hidden, r#"{"position":1}"#, 2);
        check("PATCH", &paths[50], r#"{"position":40}"#, 14);
        check("DELETE", &category, "", 2);
        check("DELETE", &channel, "", 2);
        world.refused(&bob, ("GET", &hidden, ""), 403, "channels.view");
    }

    #[test]
    fn a_reorder_among_channels_of_many_kinds_has_a_bound() {
        let (world, alice, _, server, channel) = two();
        let paths: Vec<String> =
            (0..60).map(|_| create(&world, &alice, &server, r#"{"name":"x"}"#)).collect();
        let deny = |path: &str, user: u64| {
            let deny = crate::domain::permission::CHANNELS_VIEW;
            world.put(OVERRIDES, (id(path), 1, user), &Override { allow: 0, deny });
        };
        // Two kinds: those that are open, those hidden from one.
        paths[..40].iter().for_each(|path| deny(path, 7));
        let mut known = listed(&world, &alice, &server);
        world.known();
        world.ok(&alice, "PATCH", &channel, r#"{"position":60}"#);
        assert_eq!(learn(&mut known, &world), 2);
        assert_eq!(known, listed(&world, &alice, &server));
        // The 21 that are open and 40 kinds of one each.
        (100..).zip(&paths[..40]).for_each(|(user, path)| deny(path, user));
        world.ok(&alice, "PATCH", &channel, r#"{"position":0}"#);
        assert_eq!(learn(&mut known, &world), 16);
        let now = listed(&world, &alice, &server);
        let open = paths[40..].iter().chain([&channel]).map(|path| id(path).to_string());
        open.for_each(|id| assert_eq!(known[&id], now[&id]));
    }

    #[test]
    fn hidden_channels_stay_hidden() {
        let (world, alice, bob, server, channel) = two();
        let everyone = text_of(&world.ok(&alice, "GET", &format!("{server}/roles"), ""), "id").to_string();
        let hidden = create(&world, &alice, &server, r#"{"name":"secret"}"#);
        let deny = Override { allow: 0, deny: crate::domain::permission::CHANNELS_VIEW };
        world.put(OVERRIDES, (id(&hidden), 0, everyone.parse::<u64>().unwrap()), &deny);
        assert_eq!(order(&world, &bob, &server), "general0");
        assert_eq!(order(&world, &alice, &server), "general0 secret1");
        world.refused(&bob, ("GET", &hidden, ""), 403, "channels.view");
        let carol = world.user(3, "carol");
        world.join(&alice, &channel, &carol, "{}");
        assert!(!world.payload("GUILD_CREATE").contains("secret"));
        assert!(world.payload("GUILD_CREATE").contains("general"));
    }

    #[test]
    fn private_channels_are_shown_but_not_changed() {
        let (world, alice, bob, _, _) = two();
        let gina = world.user(3, "gina");
        let channel = |kind: u8, participants: Vec<UserId>| Channel {
            kind,
            participants,
            read_receipts_enabled: true,
            created_at: 1_767_225_600_000,
            ..Channel::default()
        };
        world.put(CHANNELS, ChannelId(50), &channel(channel_kind::DM, vec![alice.id, bob.id]));
        world.put(CHANNELS, ChannelId(51), &channel(channel_kind::NOTES, vec![alice.id]));
        let body = world.ok(&alice, "GET", "/channels/50", "");
        let want = r#"{"id":"50","server_id":"0","name":"bob","channel_type":"dm","topic":null,"position":0,"category_id":null,"nsfw":false,"slowmode_seconds":0,"read_receipts_enabled":true,"created_at":1767225600,"recipient_id":"2","recipient":{"id":"2","username":"bob","avatar_url":"/api/v1/avatars/users/2","created_at":1767225600,"badges":[]}}"#;
        assert_eq!(body, want);
        assert!(world.ok(&bob, "GET", "/channels/50", "").contains(r#""recipient_id":"1""#));
        let body = world.ok(&alice, "GET", "/channels/51", "");
        assert!(body.contains(r#""name":"notes","channel_type":"notes""#), "{body}");
        assert!(body.ends_with(r#""recipient_id":null,"recipient":null}"#), "{body}");
        for path in ["/channels/50", "/channels/51"] {
            world.refused(&gina, ("GET", path, ""), 403, "not a participant");
            world.refused(&alice, ("PATCH", path, r#"{"name":"x"}"#), 403, "cannot be changed");
            world.refused(&alice, ("DELETE", path, ""), 403, "cannot be changed");
            world.refused(&alice, ("POST", &format!("{path}/invites"), "{}"), 403, "invites.create");
        }
        world.refused(&alice, ("GET", "/channels/abc", ""), 400, "Invalid channel ID");
        world.refused(&alice, ("GET", "/channels/77", ""), 404, "Channel not found");
    }
}
