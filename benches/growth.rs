//! How costs grow: each part of the gateway's work at three sizes, time per unit. A cost that is linear in all shows
//! the same figure in each column; one that is quadratic shows the figure growing with the column.
//!
//! `cargo bench --bench growth [-- NAME]` prints the table of `benches/README.md`; the name selects rows.

use std::time::{Duration, Instant};

use plexichat::domain::chat::message::MessageDelete;
use plexichat::domain::chat::read_mark::{OVERVIEW_COST_MAX, unread_count, write_unread_counts};
use plexichat::domain::community::channel::ChannelEdit;
use plexichat::domain::community::invite::{InviteCreate, InviteUse};
use plexichat::domain::community::member::MemberLeave;
use plexichat::domain::community::role::RoleEdit;
use plexichat::domain::housekeeping::sweep::Sweep;
use plexichat::domain::{
    Asking, Audience, Change, Command, Event, EventName, Machine, Now, Output, Reply, intent,
};
use plexichat::gateway::{FILL_LEN_MAX, Filled};
use plexichat::id::{ChannelId, MessageId, RoleId, UserId};
use plexichat::store::records::{Channel, Grant, Member, Nil, Override, Relationship, relation};
use plexichat::store::tables::{CHANNELS, MEMBERS, MESSAGES, OVERRIDES, RELATIONSHIPS, SERVER_CHANNELS};
use world::gateway::{ALL_INTENTS, CHANNEL, EVERYONE, Gateway, SERVER, Shape, message, small_event};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was measured at one size.
struct Figure {
    /// Time per unit of the row.
    each: Duration,
    /// Longest stretch in which the core could do nothing else, without the sends; zero where a row has no turns.
    turn: Duration,
}

impl Figure {
    fn new(total: Duration, count: u64) -> Figure {
        Figure { each: total.div_f64(count as f64), turn: Duration::ZERO }
    }

    fn turn(self, turn: Duration) -> Figure {
        Figure { turn, ..self }
    }
}

struct Row {
    name: &'static str,
    /// What the columns are.
    size: &'static str,
    sizes: [u64; 3],
    unit: &'static str,
    run: fn(u64) -> Figure,
}

const ONLINE: [u64; 3] = [1_500, 15_000, 60_000];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "identify, by sessions in the server", size: "sessions", sizes: ONLINE, unit: "IDENTIFY", run: identify },
    Row { name: "identify, by absent members", size: "members", sizes: [1_000, 10_000, 100_000], unit: "IDENTIFY", run: identify_absent },
    Row { name: "identify, by servers of the user", size: "servers", sizes: [1, 20, 200], unit: "server", run: identify_servers },
    Row { name: "identify, each a combination of roles of his own", size: "sessions", sizes: [1_500, 6_000, 24_000], unit: "IDENTIFY", run: identify_roles },
    Row { name: "message", size: "sessions", sizes: ONLINE, unit: "delivery", run: fan_out },
    Row { name: "message in a channel with a member's override", size: "sessions", sizes: ONLINE, unit: "delivery", run: fan_out_personal },
    Row { name: "a batch of 256 messages, without their frames", size: "sessions", sizes: ONLINE, unit: "delivery", run: batch },
    Row { name: "all come, nobody asked for presences", size: "sessions", sizes: ONLINE, unit: "IDENTIFY", run: all_come },
    Row { name: "all come, all asked for presences", size: "sessions", sizes: [300, 1_000, 3_000], unit: "delivery", run: all_come_presences },
    Row { name: "join and leave, by members", size: "members", sizes: [1_000, 10_000, 100_000], unit: "join and leave", run: join },
    Row { name: "role of a member changed", size: "sessions", sizes: ONLINE, unit: "change", run: member_role },
    Row { name: "role edited, then a message", size: "sessions", sizes: ONLINE, unit: "session", run: role_edit },
    Row { name: "role edited, then a message, all roles differ", size: "sessions", sizes: [1_500, 6_000, 24_000], unit: "session", run: role_edit_roles },
    Row { name: "all sockets lost at once", size: "sessions", sizes: ONLINE, unit: "session", run: all_lost },
    Row { name: "all sessions end", size: "sessions", sizes: ONLINE, unit: "session", run: all_end },
    Row { name: "all sessions end, by servers", size: "servers", sizes: [1, 20, 200], unit: "session and server", run: all_end_servers },
    Row { name: "sessions of one user lost, then over", size: "sessions", sizes: [1_000, 4_000, 16_000], unit: "session", run: one_user },
    Row { name: "presence of one user, by servers with the same 400 sessions", size: "servers", sizes: [20, 200, 2_000], unit: "session and server", run: presence },
    Row { name: "channel moved to the end, each with a member's override", size: "channels", sizes: [10, 100, 500], unit: "channel", run: reorder },
    Row { name: "member list (op 8)", size: "members", sizes: [1_000, 10_000, 100_000], unit: "member", run: member_list },
    Row { name: "resume", size: "missed events", sizes: [100, 1_000, 10_000], unit: "event", run: resume },
    Row { name: "events of one turn to one session", size: "events", sizes: [100, 1_000, 10_000], unit: "event", run: one_session },
    Row { name: "unread count of a channel", size: "unread messages", sizes: [1_000, 30_000, 1_000_000], unit: "count", run: unread },
    Row { name: "unread counts of all channels", size: "channels, 300 unread each", sizes: [100, 1_000, 5_000], unit: "channel told", run: unread_all },
    Row { name: "message deleted", size: "messages in the channel", sizes: [1_000, 30_000, 300_000], unit: "deletion", run: delete_message },
    Row { name: "events to a blocked session, a turn each", size: "events", sizes: [100, 1_000, 10_000], unit: "event", run: one_blocked },
];

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let test = world::is_test();
    println!("| what | per | sizes | time per unit | longest turn |");
    println!("|---|---|---|---|---|");
    for row in ROWS.iter().filter(|row| filter.as_ref().is_none_or(|filter| row.name.contains(filter))) {
        let figures = row.sizes.map(|size| match test {
            true => (row.run)(size.min(30)),
            false => best(row, size),
        });
        let sizes = row.sizes.map(grouped).join(" / ");
        let each = figures.iter().map(|figure| text(figure.each)).collect::<Vec<_>>().join(" / ");
        let turns = figures.iter().map(|figure| text(figure.turn)).collect::<Vec<_>>().join(" / ");
        let turns = if figures.iter().all(|figure| figure.turn.is_zero()) { "–" } else { &turns };
        println!("| {} | {} | {sizes} {} | {each} | {turns} |", row.name, row.unit, row.size);
    }
}

/// The best of three: what disturbs only adds.
fn best(row: &Row, size: u64) -> Figure {
    let begun = Instant::now();
    let mut best = (row.run)(size);
    for _ in 0..2 {
        if begun.elapsed() > Duration::from_secs(10) {
            break;
        }
        let figure = (row.run)(size);
        best.each = best.each.min(figure.each);
        best.turn = best.turn.min(figure.turn);
    }
    best
}

fn grouped(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

fn text(time: Duration) -> String {
    let ns = time.as_secs_f64() * 1e9;
    match ns {
        0.0..1e3 => format!("{ns:.0} ns"),
        1e3..1e5 => format!("{:.1} µs", ns / 1e3),
        1e5..1e6 => format!("{:.0} µs", ns / 1e3),
        1e6..1e8 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.0} ms", ns / 1e6),
    }
}

/// A server with `count` sessions that did not ask for presences.
fn crowd(shape: Shape) -> Gateway {
    let mut gateway = Gateway::new(shape, |_| ());
    (1..=shape.users).for_each(|user| gateway.identify(user));
    gateway
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// The last hundred of them.
fn identify(count: u64) -> Figure {
    let last = count.min(100);
    let mut gateway = Gateway::new(Shape::one(count), |_| ());
    (1..=count - last).for_each(|user| gateway.identify(user));
    Figure::new(time(|| (count - last + 1..=count).for_each(|user| gateway.identify(user))), last)
}

fn identify_absent(absent: u64) -> Figure {
    let mut gateway = Gateway::new(Shape { absent, ..Shape::one(100) }, |_| ());
    let figure = Figure::new(time(|| (1..=100).for_each(|user| gateway.identify(user))), 100);
    assert!(gateway.last_sent().len() < 1_000, "READY lists no members");
    figure
}

fn identify_servers(servers: u64) -> Figure {
    let mut gateway = Gateway::new(Shape { servers, ..Shape::one(100) }, |_| ());
    Figure::new(time(|| (1..=100).for_each(|user| gateway.identify(user))), 100 * servers)
}

fn identify_roles(count: u64) -> Figure {
    let mut gateway = Gateway::new(Shape { roles_differ: true, ..Shape::one(count) }, |_| ());
    Figure::new(time(|| (1..=count).for_each(|user| gateway.identify(user))), count)
}

fn time_events(gateway: &mut Gateway, count: u64) -> Figure {
    let output = message();
    gateway.time_event(&output);
    let best = (0..5).map(|_| gateway.time_event(&output)).min().expect("five times");
    Figure::new(best, count).turn(best)
}

fn fan_out(count: u64) -> Figure {
    time_events(&mut crowd(Shape::one(count)), count)
}

fn fan_out_personal(count: u64) -> Figure {
    let mut gateway = crowd(Shape::one(count));
    gateway.write(|tx| tx.put(OVERRIDES, (CHANNEL, 1, 2), &Override { allow: 1 << 40, deny: 0 }));
    time_events(&mut gateway, count)
}

/// What a batch of the writer's costs in the turn that takes it; frames and sends are divided over later turns.
fn batch(count: u64) -> Figure {
    const LEN: u64 = 256;
    let mut gateway = crowd(Shape::one(count));
    let outputs: Vec<Output> = (0..LEN).map(|_| message()).collect();
    let took = time(|| gateway.apply(&outputs));
    assert_eq!(gateway.hub.counters.dispatch_count, count * (LEN + 1), "each of them, and READY");
    Figure::new(took, count * LEN).turn(took)
}

fn all_come(count: u64) -> Figure {
    let mut gateway = Gateway::new(Shape::one(count), |_| ());
    Figure::new(time(|| (1..=count).for_each(|user| gateway.identify(user))), count)
}

/// Everybody tells everybody who came before him. Each has four friends: whether one has blocked the other is looked
/// up for every delivery.
fn all_come_presences(count: u64) -> Figure {
    let mut gateway = Gateway::new(Shape::one(count), |_| ());
    gateway.write(|tx| {
        for (user, step) in (1..=count).flat_map(|user| [(user, 1), (user, 7)]) {
            let (user_id, other) = (UserId(user), UserId((user - 1 + step) % count + 1));
            let friend = Relationship { kind: relation::FRIEND, ..Relationship::default() };
            tx.put(RELATIONSHIPS, (user_id, other), &friend);
            tx.put(RELATIONSHIPS, (other, user_id), &friend);
        }
    });
    let mut turn = Duration::ZERO;
    let total = time(|| {
        for user in 1..=count {
            turn = turn.max(time(|| gateway.identify_with(user, ALL_INTENTS)));
        }
    });
    let deliveries = count * (count - 1) / 2;
    assert_eq!(gateway.hub.counters.dispatch_count, deliveries + count);
    Figure::new(total, deliveries).turn(turn)
}

/// Commands, commits without sync, and the gateway's part with 1,500 sessions that did not ask for members.
fn join(members: u64) -> Figure {
    const COUNT: u64 = 50;
    let online = members.min(1_500);
    let shape = Shape { absent: members - online, ..Shape::one(online) };
    let mut gateway = crowd(shape);
    let code = "join".to_string();
    let invite =
        InviteCreate { channel_id: CHANNEL, code: code.clone(), max_age: 0, max_uses: 0, temporary: false };
    gateway.commit(UserId(1), invite.into());
    let work = |gateway: &mut Gateway| {
        let user_id = UserId(2);
        let (_, left) = gateway.commit(user_id, MemberLeave { server_id: SERVER }.into());
        gateway.apply(&left);
        let (_, joined) =
            gateway.commit(user_id, InviteUse { code: code.clone(), server_count_max: 10 }.into());
        gateway.apply(&joined);
        gateway.flush();
    };
    work(&mut gateway);
    Figure::new(time(|| (0..COUNT).for_each(|_| work(&mut gateway))), COUNT)
}

/// A bot gives roles to one member after the other.
fn member_role(count: u64) -> Figure {
    const COUNT: u64 = 1_000;
    let mut gateway = crowd(Shape::one(count));
    gateway.write(|tx| {
        for user in 1..=count {
            let roles = vec![RoleId((1 << 41) + user % 100)];
            tx.put(MEMBERS, (SERVER, UserId(user)), &Member { roles, ..Member::default() });
        }
    });
    let users = (0..COUNT).map(|index| 1 + index * 7919 % count);
    let change =
        |user| Output::Change(Change::MemberRolesChanged { server_id: SERVER, user_id: UserId(user) });
    let changes: Vec<Output> = users.map(change).collect();
    Figure::new(time(|| gateway.apply(&changes)), COUNT)
}

/// From the command to the frames of the next message.
fn time_role_edit(mut gateway: Gateway, count: u64) -> Figure {
    let output = message();
    gateway.time_event(&output);
    let begun = Instant::now();
    let grants = ["channels.view", "messages.read", "messages.send"];
    let permissions = grants.map(|name| Grant { name: name.to_string(), allowed: true }).to_vec();
    let edit = RoleEdit {
        server_id: SERVER,
        role_id: EVERYONE,
        name: None,
        color: None,
        permissions: Some(permissions),
        hoist: None,
        mentionable: None,
        position: None,
    };
    let (_, outputs) = gateway.commit(UserId(1), edit.into());
    gateway.apply(&outputs);
    gateway.flush();
    gateway.time_event(&output);
    let took = begun.elapsed();
    Figure::new(took, count).turn(took)
}

fn role_edit(count: u64) -> Figure {
    time_role_edit(crowd(Shape::one(count)), count)
}

fn role_edit_roles(count: u64) -> Figure {
    time_role_edit(crowd(Shape { roles_differ: true, ..Shape::one(count) }), count)
}

fn lose_all(gateway: &mut Gateway) {
    for id in std::mem::take(&mut gateway.ids) {
        gateway.with_cx(|cx, hub| hub.lost(cx, id));
    }
    drop(gateway.hub.take_actions());
}

fn all_lost(count: u64) -> Figure {
    let mut gateway = crowd(Shape::one(count));
    Figure::new(time(|| lose_all(&mut gateway)), count)
}

/// From the end of their windows; everybody is shown offline first, which nobody asked for.
fn time_end(mut gateway: Gateway, unit_count: u64) -> Figure {
    lose_all(&mut gateway);
    gateway.mono_ms += 30_000;
    while gateway.hub.has_work() {
        gateway.tick();
    }
    let mut turn = gateway.tick();
    gateway.mono_ms += 60_000;
    let mut total = Duration::ZERO;
    while gateway.hub.session_count() > 0 {
        let took = gateway.tick();
        total += took;
        turn = turn.max(took);
    }
    assert_eq!(gateway.hub.residue(), 0);
    Figure::new(total, unit_count).turn(turn)
}

fn all_end(count: u64) -> Figure {
    time_end(crowd(Shape::one(count)), count)
}

/// 1,500 sessions.
fn all_end_servers(servers: u64) -> Figure {
    const COUNT: u64 = 1_500;
    time_end(crowd(Shape { servers, ..Shape::one(COUNT) }), COUNT * servers)
}

/// All sessions of one user lose their sockets; few of them wait for RESUME.
fn one_user(count: u64) -> Figure {
    let mut gateway = Gateway::new(Shape::one(1), |config| config.websocket.max_connections_per_user = 0);
    (0..count).for_each(|_| gateway.identify(1));
    let total = time(|| lose_all(&mut gateway));
    gateway.mono_ms += 60_000;
    let mut turn = Duration::ZERO;
    while gateway.hub.session_count() > 0 {
        turn = turn.max(gateway.tick());
    }
    Figure::new(total, count).turn(turn)
}

/// Everybody is in all the servers, and all asked for presences.
fn presence(servers: u64) -> Figure {
    const COUNT: u64 = 400;
    let mut gateway = Gateway::new(Shape { servers, ..Shape::one(COUNT) }, |_| ());
    (1..=COUNT).for_each(|user| gateway.identify_with(user, ALL_INTENTS));
    let payload = br#"{"user_id":"1","status":"dnd","custom_status":null,"custom_emoji":null}"#.to_vec();
    let audience = Audience::Acquaintances(UserId(1));
    let event = Event::new(EventName::PresenceUpdate, intent::GUILD_PRESENCES, audience, payload);
    let before = gateway.hub.counters.dispatch_count;
    let took = time(|| gateway.apply(&[Output::Event(event)]));
    assert_eq!(gateway.hub.counters.dispatch_count - before, COUNT - 1);
    Figure::new(took, COUNT * servers).turn(took)
}

/// 1,500 sessions, from the command to the frames.
fn reorder(channels: u64) -> Figure {
    let mut gateway = crowd(Shape::one(1_500));
    gateway.write(|tx| {
        for position in 1..channels {
            let channel_id = ChannelId(position);
            tx.put(CHANNELS, channel_id, &Channel { server_id: SERVER, position, ..Channel::default() });
            tx.put(SERVER_CHANNELS, (SERVER, channel_id), &Nil {});
            tx.put(OVERRIDES, (channel_id, 1, position), &Override { allow: 1 << 40, deny: 0 });
        }
    });
    let edit = ChannelEdit {
        channel_id: CHANNEL,
        name: None,
        topic: None,
        position: Some(channels),
        nsfw: None,
        slowmode_seconds: None,
        read_receipts_enabled: None,
    };
    let took = time(|| {
        let (_, outputs) = gateway.commit(UserId(1), edit.into());
        gateway.apply(&outputs);
        gateway.flush();
    });
    Figure::new(took, channels).turn(took)
}

fn member_list(members: u64) -> Figure {
    let online = members.min(10);
    let mut gateway = Gateway::new(Shape { absent: members - online, ..Shape::one(online) }, |_| ());
    gateway.identify_with(1, ALL_INTENTS);
    let id = gateway.ids[0];
    let server_id = SERVER.0;
    gateway.say(id, &format!(r#"{{"op":8,"d":{{"guild_id":"{server_id}","query":""}}}}"#));
    let before = gateway.hub.counters.dispatch_count;
    let (mut total, mut turn) = (Duration::ZERO, Duration::ZERO);
    while gateway.hub.has_work() {
        let took = time(|| {
            gateway.tick();
            gateway.flush();
        });
        total += took;
        turn = turn.max(took);
    }
    assert_eq!(gateway.hub.counters.dispatch_count - before, members.div_ceil(1_000));
    Figure::new(total, members).turn(turn)
}

fn resume(missed: u64) -> Figure {
    let mut gateway = Gateway::new(Shape::one(1), |config| config.websocket.resume_buffer_events = 10_000);
    gateway.identify(1);
    let ready = gateway.last_sent();
    let session = ready.split("\"session_id\":\"").nth(1).expect("READY names it")[..32].to_string();
    lose_all(&mut gateway);
    let output = small_event(SERVER);
    (0..missed).for_each(|_| gateway.apply(std::slice::from_ref(&output)));
    let id = gateway.open();
    let token = format!("1.{}", world::SECRET);
    let took = time(|| {
        gateway.say(id, &format!(r#"{{"op":6,"d":{{"token":"{token}","session_id":"{session}","seq":1}}}}"#));
        gateway.flush();
    });
    let sent = gateway.last_sent();
    assert!(sent.contains(&format!("\"s\":{},", missed + 1)), "it ends with the last one");
    Figure::new(took, missed).turn(took)
}

/// A server whose second member has read nothing; every hundredth message is his own.
fn unread_world(messages: u64) -> world::World {
    let world = world::World::new(2, 0);
    for begun in (0..messages).step_by(10_000) {
        let mut tx = world.store.begin().expect("nobody else writes");
        let mut machine = Machine::begin(&mut tx, Now::at(world::START_MS + begun), 0);
        for index in begun..messages.min(begun + 10_000) {
            let author = world.users[usize::from(index % 100 == 0)];
            let command = Command::new(author, world::message(world.channel_id).into());
            machine.apply(&command).expect("a valid command");
        }
        drop(machine.finish());
        tx.commit().expect("there is room");
    }
    world
}

fn unread(messages: u64) -> Figure {
    let world = unread_world(messages);
    let snapshot = world.store.snapshot();
    let count = || unread_count(snapshot.read(), world.users[1], world.channel_id);
    assert_eq!(count(), messages - messages.div_ceil(100));
    let calls = 1_000;
    let took = time(|| {
        (0..calls).map(|_| std::hint::black_box(count())).sum::<u64>();
    });
    Figure::new(took, calls)
}

fn unread_all(channels: u64) -> Figure {
    const UNREAD: u64 = 300;
    let world = world::World::new(2, 0);
    let apply = |command: Command| {
        let mut tx = world.store.begin().expect("nobody else writes");
        let mut machine = Machine::begin(&mut tx, Now::at(world::START_MS), 0);
        let reply = machine.apply(&command).expect("a valid command");
        drop(machine.finish());
        tx.commit().expect("there is room");
        reply
    };
    for channel in 1..channels {
        let channel_id = ChannelId(channel);
        let mut tx = world.store.begin().expect("nobody else writes");
        let record = Channel { server_id: world.server_id, ..Channel::default() };
        tx.put(CHANNELS, channel_id, &record);
        tx.put(SERVER_CHANNELS, (world.server_id, channel_id), &Nil {});
        tx.commit().expect("there is room");
    }
    for channel_id in (1..channels).map(ChannelId).chain([world.channel_id]) {
        let mut tx = world.store.begin().expect("nobody else writes");
        let mut machine = Machine::begin(&mut tx, Now::at(world::START_MS), 0);
        for _ in 0..UNREAD {
            let command = Command::new(world.users[0], world::message(channel_id).into());
            machine.apply(&command).expect("a valid command");
        }
        drop(machine.finish());
        tx.commit().expect("there is room");
    }
    // Housekeeping finds all messages in the ledgers.
    while apply(Command::new(UserId(0), Sweep { records_max: 10_000 }.into())) != Reply::Count(0) {}
    let snapshot = world.store.snapshot();
    let mut out = Vec::new();
    let asking = Asking { read: snapshot.read(), at: world::START_MS, who: world.users[1] };
    let took = time(|| {
        write_unread_counts(&mut out, asking, OVERVIEW_COST_MAX);
    });
    let text = String::from_utf8(out).expect("JSON");
    let told = text.matches(":300").count() as u64;
    assert!(told >= channels.min(1_000), "{told}");
    Figure::new(took, told).turn(took)
}

fn delete_message(messages: u64) -> Figure {
    let world = unread_world(messages);
    let snapshot = world.store.snapshot();
    let scan = snapshot.read().scan(MESSAGES, world.channel_id);
    let ids: Vec<MessageId> = scan.map(|((_, id), _)| id).step_by((messages / 100).max(1) as usize).collect();
    let delete = |message_id| MessageDelete { channel_id: world.channel_id, message_id }.into();
    let commands: Vec<_> = ids.iter().map(|&id| Command::new(world.users[0], delete(id))).collect();
    Figure::new(world.time_apply(&commands), commands.len() as u64)
}

fn one_session(count: u64) -> Figure {
    let mut gateway = Gateway::new(Shape::one(1), |_| ());
    gateway.identify(1);
    let outputs: Vec<Output> = (0..count).map(|_| small_event(SERVER)).collect();
    let took = time(|| {
        gateway.apply(&outputs);
        gateway.flush();
    });
    Figure::new(took, count).turn(took)
}

/// The socket takes nothing; the bounds of the backlog are off.
fn one_blocked(count: u64) -> Figure {
    let mut gateway = Gateway::new(Shape::one(1), |config| {
        config.websocket.send_queue_events = 0;
        config.websocket.send_queue_bytes = 0;
        config.websocket.resume_buffer_events = 100_000;
    });
    gateway.identify(1);
    let id = gateway.ids[0];
    let output = small_event(SERVER);
    gateway.apply(std::slice::from_ref(&output));
    let mut dirty = Vec::new();
    let mut buffer = Vec::new();
    gateway.with_cx(|cx, hub| {
        hub.take_dirty(cx, usize::MAX, &mut dirty);
        assert_eq!(hub.fill(id, &mut buffer, FILL_LEN_MAX), Filled::All);
        hub.sent(cx, id, Some(&buffer));
    });
    let took = time(|| {
        for _ in 0..count {
            gateway.apply(std::slice::from_ref(&output));
            gateway.with_cx(|cx, hub| hub.take_dirty(cx, usize::MAX, &mut dirty));
        }
    });
    assert_eq!(gateway.hub.counters.slow_consumer_count, 0);
    Figure::new(took, count)
}
