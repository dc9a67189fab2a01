//! Commands against a model of the state.
//!
//! Random commands of random users, under a clock that somebody sets to and fro by up to years, go through the
//! machine on a real store.
//! A simple model predicts each answer and the state after it. Then the same commands are applied to fresh stores,
//! in the same and in other batches, each log twice from its bytes: the tables must be equal byte by byte, and what was
//! made known too.
//!
//! `PLEXICHAT_SIM_SEEDS=400` runs more seeds, `PLEXICHAT_SIM_FIRST=7` begins with another one.

mod admin;
mod automod;
mod bots;
mod contact;
mod coverage;
mod custody;
mod elsewhere;
mod expression;
mod features;
mod gate;
mod generate;
mod groups;
mod hashes;
mod hooks;
mod judge;
mod mail;
mod model;
mod notify;
#[path = "../support/owners.rs"]
mod owners;
mod passkeys;
mod places;
mod polls;
mod reviews;
mod second_factor;
mod tables;
mod take;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use plexichat::domain::chat::message::Page;
use plexichat::domain::chat::read_mark::{OVERVIEW_COST_MAX, mark, unread_count, write_unread_counts};
use plexichat::domain::{Asking, Audience, Command, Machine, Now, Output, Reply, Result, permission};
use plexichat::domain::{chat::*, community::*, housekeeping::sweep, identity::*};
use plexichat::id::*;
use plexichat::log::apply::{Applier, Extent};
use plexichat::log::entry::{Entry, Place};
use plexichat::store::owners::ended_count;
use plexichat::store::records::*;
use plexichat::store::tables::*;
use plexichat::store::{Options, Read, Store, Sync, WriteError};
use plexichat::wire::json;

use coverage::{Coverage, codes, kind, never_seen};
use generate::Generator;
use model::{Model, Want};

const SEED_COUNT: u64 = 8;
const COMMAND_COUNT: u64 = 1_500;
const START_AT: u64 = 1_780_000_000_000;
const NODE: u16 = 33;

/// One transaction: what the clocks say, and the commands.
type Batch = (Now, Vec<Command>);

struct World {
    store: Arc<Store>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let options = Options { path, map_size: 1 << 28, sync: Sync::Interval, readers_max: 4 };
        let store = Store::open(&options).unwrap();
        // Each has keys of its own, every second one seals with them: what the state is does not depend on that.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        store.unlock(COUNT.fetch_add(1, Relaxed).is_multiple_of(2)).unwrap();
        World { store: Arc::new(store), _folder: folder }
    }

    /// Applies a log from its bytes.
    fn replay(&self, log: &[Vec<u8>]) -> (Vec<Result<Reply>>, Vec<Output>) {
        let (mut replies, mut outputs) = (Vec::new(), Vec::new());
        let mut applier = Applier::new(self.store.clone(), Arc::default());
        for bytes in log {
            let entry = Entry::decode(bytes).expect("the bytes of an entry");
            let applied = applier.apply(&entry, Extent::Whole).expect("there is room");
            replies.extend(applied.replies);
            outputs.extend(applied.outputs);
            assert_eq!(applier.position().sequence, entry.place.sequence);
        }
        (replies, outputs)
    }
}

/// The bytes of a log.
fn encode(log: &[Batch]) -> Vec<Vec<u8>> {
    let entries = (1..).zip(log).map(|(sequence, (now, commands))| {
        let place = Place { partition: 0, origin: NODE, epoch: 1, sequence };
        let entry = Entry { place, now: *now, commands: commands.clone() };
        let bytes = entry.encode();
        assert!(Entry::decode(&bytes).as_ref() == Ok(&entry), "{entry:?} does not come back from its bytes");
        bytes
    });
    entries.collect()
}

/// Keys and values of each table.
type Tables = Vec<Vec<(Vec<u8>, Vec<u8>)>>;

/// All tables as they are, for comparing.
fn bytes(read: Read<'_>) -> Tables {
    let row = |(key, value): (&[u8], &[u8])| (key.to_vec(), value.to_vec());
    let mut tables: Tables = (0..TABLE_COUNT).map(|index| read.raw(index).map(row).collect()).collect();
    // Which key a store has is its own affair.
    tables.iter_mut().for_each(|rows| rows.retain(|(key, _)| key != b"record_key"));
    tables
}

fn assert_same_tables(a: &World, b: &World) {
    assert_same(bytes(a.store.snapshot().read()), bytes(b.store.snapshot().read()));
}

/// The same but for the position: how many entries the commands came in, if in any.
fn assert_same_state(a: &World, b: &World) {
    let state = |world: &World| {
        let mut tables = bytes(world.store.snapshot().read());
        tables.iter_mut().for_each(|rows| rows.retain(|(key, _)| !key.starts_with(b"log_")));
        tables
    };
    assert_same(state(a), state(b));
}

fn assert_same(a: Tables, b: Tables) {
    for (row, (a, b)) in ROWS.iter().zip(a.iter().zip(&b)) {
        assert!(a == b, "table {} differs after the same commands", row.name);
    }
}

struct Run<'r> {
    random: &'r mut fastrand::Rng,
    model: Model,
    world: World,
    now: u64,
    /// How far the wall clock is ahead.
    ahead_ms: i64,
    commands: u64,
    last_id: u64,
    log: Vec<Batch>,
    /// The first command of the next batch.
    held: Option<Command>,
    replies: Vec<Result<Reply>>,
    outputs: Vec<Output>,
    coverage: Coverage,
    /// How often this seed has seen a command, accepted or refused.
    seen: BTreeMap<(u16, bool), u64>,
}

/// A random command; every second one is what has come least of some.
fn draw(mut generator: Generator<'_>, model: &Model, seen: &BTreeMap<(u16, bool), u64>) -> Command {
    let count = if generator.chance(50) { 1 } else { 6 };
    let some = (0..count).map(|_| generator.command(model));
    let seen = |command: &Command| {
        let is_accepted = model.judge(command.actor.0, &command.op).is_ok();
        seen.get(&kind(&command.op, is_accepted)).copied().unwrap_or_default()
    };
    some.min_by_key(seen).expect("one at least")
}

impl Run<'_> {
    fn step_clock(&mut self) {
        let step = match self.random.u32(..100) {
            0..70 => self.random.u64(..1_500),
            70..90 => self.random.u64(..30_000),
            90..97 => self.random.u64(..3_600_000),
            97 => self.random.u64(..86_400_000 * 8),
            _ => {
                self.now -= self.random.u64(..600_000);
                0
            }
        };
        self.now += step;
        let day = 86_400_000;
        self.ahead_ms = match self.random.u32(..100) {
            0..90 => self.ahead_ms,
            90..94 => 0,
            94..98 => self.random.i64(-9 * day..9 * day),
            98 => self.random.i64(-400 * day..400 * day),
            _ => self.random.i64(-2_000..2_000),
        };
    }

    fn moment(&self) -> Now {
        let unix_ms = self.now.strict_add_signed(self.ahead_ms);
        Now { unix_ms, steady_ms: self.now }
    }

    /// Applies a batch of random commands and holds every answer against the model.
    fn batch(&mut self) {
        if self.held.is_none() {
            self.step_clock();
        }
        self.model.set_time(self.model.at.max(self.now));
        self.model.unix_ms = self.moment().unix_ms;
        let mut tx = self.world.store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, self.moment(), NODE);
        assert_eq!(machine.at, self.model.at, "steady time never runs backwards");
        let mut commands = Vec::new();
        let mut accepted = false;
        for _ in 0..self.random.usize(1..6) {
            let command = self.held.take().unwrap_or_else(|| {
                self.commands += 1;
                let generator = Generator { random: self.random, count: self.commands - 1 };
                draw(generator, &self.model, &self.seen)
            });
            let is_isolated = command.op.row().marks.isolated;
            if is_isolated && !commands.is_empty() {
                self.held = Some(command);
                break;
            }
            {
                let want = self.model.judge(command.actor.0, &command.op);
                let before = want.is_err().then(|| bytes(machine.read()));
                let reply = machine.apply(&command);
                let description = format!("command {} {command:?}", self.commands);
                // What is in it counts too: administrators do nothing else.
                let mut counts = |is_accepted: bool| {
                    for code in codes(&command.op) {
                        let counts = self.coverage.entry(code).or_default();
                        *(if is_accepted { &mut counts.0 } else { &mut counts.1 }) += 1;
                    }
                    *self.seen.entry(kind(&command.op, is_accepted)).or_default() += 1;
                };
                match (&want, &reply) {
                    (Ok(want), Ok(reply)) => {
                        assert!(want.fits(reply), "{description} gave {reply:?}, not {want:?}");
                        check_id(&mut self.last_id, want, reply);
                        counts(true);
                        accepted = true;
                    }
                    (Err(statuses), Err(error)) => {
                        assert!(
                            statuses.contains(&error.status),
                            "{description} gave {error:?}, not {statuses:?}"
                        );
                        counts(false);
                    }
                    _ => panic!("{description} gave {reply:?}, not {want:?}"),
                }
                if let Some(before) = before {
                    assert!(before == bytes(machine.read()), "{description} was refused, but left a trace");
                }
                // An account is purged in steps; the model knows only the end.
                let again = command.op.row().code == 120
                    && self.model.due_deletions()
                    && reply != Ok(Reply::Count(0));
                if let (Ok(reply), false) = (&reply, again) {
                    self.model.take(command.actor.0, &command.op, reply, machine.read());
                }
                self.replies.push(reply);
                commands.push(command.clone());
                if again && command.actor.0 == 0 {
                    tables::check(machine.read(), self.model.at);
                    self.held = Some(command);
                }
            }
            if is_isolated {
                break;
            }
        }
        let outputs = machine.finish();
        assert!(accepted || outputs.is_empty(), "what is refused makes nothing known");
        outputs.iter().for_each(check_output);
        self.outputs.extend(outputs);
        tx.commit().unwrap();
        self.log.push((self.moment(), commands));
    }
}

/// New things have greater ids than all before them.
fn check_id(last: &mut u64, want: &Want, reply: &Reply) {
    let id = match (want, reply) {
        (Want::Token, Reply::Token(_, id)) | (Want::Account, Reply::Account(_, Some(id))) => id.0,
        // A server is joined or made.
        (Want::NewChannel, Reply::Channel(id)) => id.0,
        (Want::Role, Reply::Role(id)) => id.0,
        _ => return,
    };
    assert!(id > *last, "ids rise");
    *last = id;
}

fn check_output(output: &Output) {
    let Output::Event(event) = output else { return };
    let mut payload = event.payload.to_vec();
    let value = json::parse(&mut payload).expect("the payload of an event is JSON");
    assert!(value.as_object().is_some(), "the payload of an event is an object");
    assert!(event.intent.count_ones() <= 1, "an event has one intent at most");
    if let Audience::Users(users) = &event.audience {
        let distinct: BTreeSet<_> = users.iter().collect();
        assert_eq!(distinct.len(), users.len(), "{:?} goes to each user once", event.name);
    }
}

/// Before each command is applied it is tried with room for no write, for one, for two and so on, as in a map that is
/// full: whichever write is the one that does not fit, the command comes to an end, and nothing of it is kept.
fn check_refused_writes(log: &[Batch], world: &World) {
    for (now, batch) in log {
        for command in batch {
            for count in 0.. {
                let mut tx = world.store.begin().unwrap();
                tx.limit_writes(count);
                let mut machine = Machine::begin(&mut tx, *now, NODE);
                let _ = machine.apply(command);
                machine.finish();
                let fits = tx.error().is_none();
                if fits {
                    tx.commit().unwrap();
                    break;
                }
                assert_eq!(tx.commit(), Err(WriteError::Full));
            }
        }
    }
}

fn run(seed: u64, coverage: &mut Coverage) {
    struct Name(u64);
    impl Drop for Name {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failing seed: {}", self.0);
            }
        }
    }
    let _name = Name(seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut run = Run {
        random: &mut random,
        model: Model::default(),
        world: World::new(),
        now: START_AT,
        ahead_ms: 0,
        commands: 0,
        last_id: 0,
        log: Vec::new(),
        held: None,
        replies: Vec::new(),
        outputs: Vec::new(),
        coverage: std::mem::take(coverage),
        seen: BTreeMap::new(),
    };
    // What the model knows at once may take the store several batches.
    while run.commands < COMMAND_COUNT || run.held.is_some() {
        run.batch();
        if run.log.len().is_multiple_of(12) && run.held.is_none() {
            let snapshot = run.world.store.snapshot();
            tables::check(snapshot.read(), run.model.at);
            compare(&run.model, snapshot.read());
            query(run.random, &run.model, snapshot.read());
        }
    }
    let snapshot = run.world.store.snapshot();
    tables::check(snapshot.read(), run.model.at);
    compare(&run.model, snapshot.read());
    let applied = snapshot.read().get(META, "applied").expect("counted").value.to_native();
    assert_eq!(applied, run.replies.len() as u64, "every command counts, refused or not");
    run.world.store.verify().expect("every row is a valid record");

    let singly = |(now, batch): &Batch| batch.iter().map(|c| (*now, vec![c.clone()])).collect::<Vec<_>>();
    let cut: Vec<Batch> = run.log.iter().flat_map(singly).collect();
    let refused = World::new();
    check_refused_writes(&cut, &refused);
    assert_same_tables(&run.world, &refused);
    for log in [&run.log, &cut] {
        let (log, worlds) = (encode(log), [World::new(), World::new()]);
        for world in &worlds {
            let (replies, outputs) = world.replay(&log);
            assert!(replies == run.replies, "the same commands get the same answers");
            assert!(outputs == run.outputs, "the same commands make the same known");
            assert_same_state(&run.world, world);
        }
        // With the chain in it.
        assert_same_tables(&worlds[0], &worlds[1]);
    }
    *coverage = run.coverage;
    nothing_is_left(&refused, run.model.at);
}

/// When housekeeping is through, nothing is left of what is gone, and nothing is remembered as that.
fn nothing_is_left(world: &World, at: u64) {
    let mut done = false;
    while !done {
        let mut tx = world.store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, Now::at(at), NODE);
        let reply = machine.apply(&Command::new(UserId(0), sweep::Sweep { records_max: 50 }.into()));
        machine.finish();
        tx.commit().unwrap();
        done = reply == Ok(Reply::Count(0));
    }
    let snapshot = world.store.snapshot();
    assert_eq!(ended_count(snapshot.read()), 0);
    tables::check(snapshot.read(), at);
}

// --------------------------------------------------------------------------------- the model and the store

fn compare(model: &Model, read: Read<'_>) {
    model.compare_notifications(read);
    assert_eq!(read.len(USERS), model.users.len() as u64);
    model.compare_second_factors(read);
    model.compare_webhooks(read);
    model.compare_heard(read);
    model.compare_hashes(read);
    model.compare_gate(read);
    model.compare_admins(read);
    model.compare_custody(read);
    model.compare_polls(read);
    model.compare_groups(read);
    model.compare_expressions(read);
    model.compare_uploads(read);
    model.compare_bots(read);
    model.compare_features(read);
    model.compare_mails(read);
    model.compare_elsewhere(read);
    model.compare_passkeys(read);
    for (id, user) in &model.users {
        let record = read.get(USERS, UserId(*id)).expect("the user is stored");
        let state = if record.state == plexichat::store::records::account::RENAMING {
            plexichat::store::records::account::ACTIVE
        } else {
            record.state
        };
        assert!(
            record.state != plexichat::store::records::account::RENAMING || user.renaming,
            "user {id} need not choose a name"
        );
        let got = (record.username.as_str(), record.email.as_str(), state);
        assert_eq!(got, (user.name.as_str(), user.email.as_str(), user.state), "user {id}");
        assert_eq!(record.avatar.as_ref().map(|picture| picture.hash[0]), user.avatar, "avatar of {id}");
        let asking = Asking { read, at: model.at, who: UserId(*id) };
        let live = token::live(asking).map(|(id, token)| (id.0, token.expires_at.to_native()));
        let want = user.tokens.iter().filter(|(_, token)| token.expires_at > model.at);
        assert!(live.eq(want.map(|(id, token)| (*id, token.expires_at))), "sessions of {id}");
        let settings =
            read.scan(SETTINGS, UserId(*id)).map(|((_, key), setting)| (key, setting.value.to_string()));
        assert!(settings.eq(user.settings.clone()), "settings of {id}");
        assert!(
            server::ids_of(read, UserId(*id)).map(|id| id.0).eq(model.servers_of(*id)),
            "servers of {id}"
        );
    }
    let relations = read.scan(RELATIONSHIPS, ()).map(|((a, b), record)| ((a.0, b.0), record.kind));
    assert_eq!(relations.collect::<BTreeMap<_, _>>(), model.relations);
    assert_eq!(read.len(SERVERS), model.servers.len() as u64);
    for (id, server) in &model.servers {
        compare_server(model, read, ServerId(*id), server);
    }
    assert_eq!(read.len(CHANNELS), model.channels.len() as u64);
    for (id, channel) in &model.channels {
        compare_channel(model, read, ChannelId(*id), channel);
    }
}

fn compare_server(model: &Model, read: Read<'_>, id: ServerId, server: &model::Server) {
    let record = read.get(SERVERS, id).expect("the server is stored");
    assert_eq!(record.name.as_str(), server.name);
    assert_eq!(record.icon.as_ref().map(|picture| picture.hash[0]), server.icon, "icon of {id}");
    assert_eq!(record.owner_id.0.to_native(), server.owner);
    assert_eq!(record.member_count.to_native(), server.members.len() as u64);
    let default = record.default_channel_id.as_ref().map(|id| id.0.to_native());
    assert_eq!(default, server.default_channel, "default channel of {id}");
    let roles: Vec<u64> = role::list(read, id).iter().map(|(role_id, _)| role_id.0).collect();
    let want: Vec<u64> = server.order.iter().rev().copied().chain([server.everyone]).collect();
    assert_eq!(roles, want, "roles of {id}, highest first");
    for (role_id, role) in &server.roles {
        let record = Role::from(read.get(ROLES, (id, RoleId(*role_id))).expect("the role is stored"));
        let got = model::Role {
            name: record.name,
            color: record.color,
            permissions: record.permissions,
            hoist: record.hoist,
            mentionable: record.mentionable,
        };
        assert_eq!(got, *role);
    }
    let members = read.scan(MEMBERS, id).map(|((_, user_id), _)| user_id.0);
    assert!(members.eq(server.members.keys().copied()), "members of {id}");
    let asking = |who: UserId| Asking { read, at: model.at, who };
    for (user_id, member) in &server.members {
        let record = Member::from(read.get(MEMBERS, (id, UserId(*user_id))).expect("the member is stored"));
        let timeout = (record.timeout_until.unwrap_or(0), record.timeout_reason);
        assert_eq!(
            (record.nickname, timeout.0, timeout.1),
            (member.nickname.clone(), member.timeout_until, member.timeout_reason.clone(),),
            "{user_id} in {id}"
        );
        let standing = asking(UserId(*user_id)).server(id).expect("a member");
        assert_eq!(standing.permissions, server.bits(*user_id), "permissions of {user_id} in {id}");
        assert_eq!(standing.top_position(), server.top(*user_id), "highest role of {user_id} in {id}");
    }
    model.compare_automod(read, id, server);
    let bans = read.scan(BANS, id).map(|((_, user_id), _)| user_id.0);
    assert!(bans.eq(server.bans.iter().copied()), "bans of {id}");
    let owner = asking(UserId(server.owner)).server(id).expect("the owner is a member");
    let channels = channel::visible(&owner).map(|(id, channel)| (id.0, channel.position.to_native()));
    let want = model.channel_order(id.0).into_iter().map(|id| (id, model.channels[&id].position));
    assert!(channels.eq(want), "channels of {id} in their order");
    for (code, invite) in model.invites.iter().filter(|(_, invite)| invite.server == id.0) {
        let uses = invite::find(read, model.at, code).ok().map(|invite| invite.uses.to_native());
        let live = invite.expires_at.is_none_or(|at| model.at < at)
            && (invite.max_uses == 0 || invite.uses < invite.max_uses);
        assert_eq!(uses, live.then_some(invite.uses), "invite {code}");
    }
}

fn compare_channel(model: &Model, read: Read<'_>, id: ChannelId, channel: &model::Channel) {
    let record = read.get(CHANNELS, id).expect("the channel is stored");
    assert_eq!(record.kind, channel.kind);
    if channel.server.is_some() {
        assert_eq!(record.name.as_str(), channel.name);
        assert_eq!(record.category_id.as_ref().map(|id| id.0.to_native()), channel.category);
    }
    let overrides = read
        .scan(OVERRIDES, id)
        .map(|((_, kind, id), bits)| ((kind, id), (bits.allow.to_native(), bits.deny.to_native())));
    assert!(overrides.eq(channel.overrides.iter().map(|(key, bits)| (*key, *bits))), "overrides of {id}");
    for user in model.users.keys() {
        let got = Asking { read, at: model.at, who: UserId(*user) }.channel(id);
        let want = model.access(*user, id.0).ok().map(|(_, have)| have);
        assert_eq!(got.ok().map(|access| access.permissions), want, "what {user} may in {id}");
    }
    let messages = read.scan(MESSAGES, id);
    let messages = messages.map(|((_, id), message)| {
        let (author, created_at) = (message.author_id.0.to_native(), message.created_at.to_native());
        let webhook = message.webhook.as_ref().map(|webhook| webhook.name.as_str());
        (id.0, author, created_at, message.content.as_str(), webhook)
    });
    let want = channel.messages.iter();
    let want = want.map(|(id, message)| {
        let webhook = message.webhook.as_deref();
        (*id, message.author, message.created_at, message.content.as_str(), webhook)
    });
    assert!(messages.eq(want), "messages of {id}, with the time of the clock then");
    let pins = read.scan(PINS, id).map(|(_, message)| message.id.0.to_native());
    assert!(pins.eq(channel.pins.iter().copied()), "pins of {id}");
    for (message_id, message) in &channel.messages {
        let set = read.get(REACTION_SETS, MessageId(*message_id)).map(ReactionSet::from).unwrap_or_default();
        let got = set.entries.iter().map(|entry| (entry.emoji.as_str(), entry.count));
        let want = message.reactions.iter().map(|(emoji, users)| (emoji.as_str(), users.len() as u64));
        assert!(got.eq(want), "reactions of {message_id}");
    }
    for user in model.users.keys() {
        assert_eq!(mark(read, UserId(*user), id).0, channel.marks.get(user).copied().unwrap_or(0));
        assert_eq!(
            unread_count(read, UserId(*user), id),
            model.unread(channel, *user, u64::MAX),
            "unread in {id}"
        );
    }
}

/// Random queries against what the model says.
fn query(random: &mut fastrand::Rng, model: &Model, read: Read<'_>) {
    let users: Vec<u64> = model.users.keys().copied().collect();
    let user = users[random.usize(..users.len())];
    let mut out = Vec::new();
    let asking = Asking { read, at: model.at, who: UserId(user) };
    write_unread_counts(&mut out, asking, OVERVIEW_COST_MAX);
    let counts = json::parse(&mut out).expect("unread counts are JSON");
    for (id, channel) in &model.channels {
        let readable = model.access(user, *id).is_ok_and(|(_, have)| have & permission::MESSAGES_READ != 0);
        let listed = readable && channel.kind != channel_kind::NOTES;
        let want = Some(model.unread(channel, user, u64::MAX)).filter(|count| listed && *count > 0);
        let got = counts.get(&id.to_string()).and_then(json::Value::as_int);
        assert_eq!(got, want.map(i128::from), "unread messages of {user} in {id}");
    }
    for (id, channel) in &model.channels {
        let Ok(access) = asking.channel(ChannelId(*id)) else {
            assert!(model.access(user, *id).is_err(), "{user} may view {id}");
            continue;
        };
        let ids: Vec<u64> = channel.messages.keys().copied().collect();
        let mut place = || match random.u8(..4) {
            0 if !ids.is_empty() => Some(ids[random.usize(..ids.len())]),
            1 => Some([0, 1, u64::MAX, random.u64(..)][random.usize(..4)]),
            _ => None,
        };
        let (before, after) = (place(), place());
        let limit = random.usize(1..20);
        let page = Page { before: before.map(MessageId), after: after.map(MessageId), limit };
        let mut out = Vec::new();
        message::write_page(&mut out, &access, page);
        let list = json::parse(&mut out).expect("a page of messages is JSON");
        let got: Vec<u64> = list
            .as_array()
            .expect("a list")
            .iter()
            .map(|message| message.get("id").unwrap().as_id().unwrap())
            .collect();
        let want: Vec<u64> = match (before, after) {
            (Some(before), _) => ids.iter().rev().filter(|id| **id < before).take(limit).copied().collect(),
            (None, Some(after)) => ids.iter().filter(|id| **id > after).take(limit).copied().collect(),
            (None, None) => ids.iter().rev().take(limit).copied().collect(),
        };
        assert_eq!(got, want, "{page:?} of {id}");
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn the_state_is_what_the_model_says() {
    let first = setting("PLEXICHAT_SIM_FIRST").unwrap_or(0);
    let count = setting("PLEXICHAT_SIM_SEEDS").unwrap_or(SEED_COUNT);
    let mut coverage = Coverage::new();
    run_all(first..first + count, &mut coverage);
    if count < SEED_COUNT {
        return;
    }
    // What comes seldom is waited for a little longer: which seeds it comes with changes with every command there is.
    let longest = first + 5 * count;
    let mut next = first + count;
    while next < longest && !never_seen(&coverage).is_empty() {
        let end = longest.min(next + core_count());
        run_all(next..end, &mut coverage);
        next = end;
    }
    assert_eq!(never_seen(&coverage), [""; 0]);
}

fn core_count() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// Seeds side by side, one on each core.
fn run_all(seeds: Range<u64>, coverage: &mut Coverage) {
    let next = AtomicU64::new(seeds.start);
    let take = || {
        let mut coverage = Coverage::new();
        for seed in std::iter::from_fn(|| Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds.end)) {
            run(seed, &mut coverage);
        }
        coverage
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..core_count()).map(|_| scope.spawn(take)).collect();
        for thread in threads {
            for (code, (accepted, refused)) in thread.join().expect("every seed agrees with the model") {
                let counts = coverage.entry(code).or_default();
                *counts = (counts.0 + accepted, counts.1 + refused);
            }
        }
    });
}
