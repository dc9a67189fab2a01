//! Housekeeping: what may be done later is done here, a bounded amount per command.
//!
//! Each kind of work can stop anywhere and goes on with the next command: it looks for what is still there, so
//! nothing but the cursor over the invites has to be remembered.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::blob;
use crate::domain::chat::ledger;
use crate::domain::community::{invite, member, server};
use crate::domain::contact::telemetry;
use crate::domain::error::Result;
use crate::domain::event::Revocation;
use crate::domain::files::{session, upload};
use crate::domain::identity::account::remind;
use crate::domain::identity::{bot, custody, oauth, token};
use crate::domain::machine::Machine;
use crate::domain::moderation::violation;
use crate::domain::social::{group, relationship};
use crate::id::{ServerId, UserId};
use crate::store::owners::ended_count;
use crate::store::records::{Meta, Nil, User, account};
use crate::store::tables::*;
use crate::store::{Key, Record, Table};

/// Does due work. Only the server itself submits it, again as long as the reply counts more than 0.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Sweep {
    /// Records touched by this command, about.
    pub records_max: u64,
}

/// Where the walk over the invites stands: the first eight bytes of the last code looked at.
const INVITE_CURSOR: &str = "sweep_invites";

/// Where the walk over the members of a store from before [`TEMPORARY_MEMBERS`] stands: server and user of the last
/// one that was looked at; [`WALK_DONE`] as the server when all were.
const TEMPORARY_CURSOR: [&str; 2] = ["sweep_temporary_server", "sweep_temporary_user"];
const WALK_DONE: u64 = u64::MAX;

/// Mails of an account that is purged that go with its address; nobody has as many waiting.
const MAILS_AT_ONCE: usize = 100;

/// How much this command may still do.
struct Budget(usize);

impl Budget {
    fn take(&mut self, count: usize) {
        self.0 = self.0.saturating_sub(count);
    }

    fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// The first key that starts with `prefix`.
fn first<K: Key, V: Record>(
    machine: &Machine<'_, '_>,
    table: Table<K, V>,
    prefix: impl Key,
) -> Option<K::Owned> {
    machine.read().scan(table, prefix).next().map(|(key, _)| key)
}

/// Replies 0 when nothing is left to do now, else at least how many pieces of work are.
pub(in crate::domain) fn sweep(machine: &mut Machine<'_, '_>, _: UserId, op: &Sweep) -> Result<u64> {
    let mut budget = Budget(usize::try_from(op.records_max).unwrap_or(usize::MAX).max(1));
    while !budget.is_spent() {
        let Some((due, user_id)) = first(machine, DELETIONS, ()) else { break };
        if due > machine.at {
            break;
        }
        purge(machine, due, user_id, &mut budget);
    }
    budget.take(custody::end_locks(machine, budget.0));
    let reminded = send_reminders(machine, &mut budget);
    let count = machine.tx.sweep_ended(budget.0);
    budget.take(count);
    let all_known = !budget.is_spent() && find_temporary_members(machine, &mut budget);
    let round_complete = all_known && !budget.is_spent() && expire_invites(machine, &mut budget);
    let ledgers_built = !budget.is_spent() && build_ledgers(machine, &mut budget);
    let violations_expired = expire_violations(machine, &mut budget);
    let telemetry_expired = expire_telemetry(machine, &mut budget);
    let uploads_expired = expire_uploads(machine, &mut budget);
    let due = first(machine, DELETIONS, ()).is_some_and(|(due, _)| due <= machine.at);
    let ended = ended_count(machine.read());
    let expired = violations_expired && telemetry_expired && uploads_expired;
    let rest = [reminded, round_complete, ledgers_built, expired];
    let rest = rest.into_iter().filter(|is_done| !is_done).count();
    Ok(u64::from(due) + ended + rest as u64)
}

/// True when nobody is to be reminded of anything now.
fn send_reminders(machine: &mut Machine<'_, '_>, budget: &mut Budget) -> bool {
    while let Some((due, user_id)) = first(machine, REMINDERS, ()).filter(|(due, _)| *due <= machine.at) {
        if budget.is_spent() {
            return false;
        }
        remind(machine, due, user_id);
        budget.take(4);
    }
    true
}

/// True when the messages of earlier versions are in the ledgers. Looking at one is a fraction of a deletion.
fn build_ledgers(machine: &mut Machine<'_, '_>, budget: &mut Budget) -> bool {
    const LOOKS_PER_RECORD: usize = 16;
    let (walked, built) = ledger::build(machine, budget.0.saturating_mul(LOOKS_PER_RECORD));
    budget.take(walked / LOOKS_PER_RECORD);
    built
}

/// True when none is left that has lapsed.
fn expire_violations(machine: &mut Machine<'_, '_>, budget: &mut Budget) -> bool {
    /// It, two rows of indexes, and the count.
    const RECORDS: usize = 4;
    while !budget.is_spent() && violation::expire(machine) {
        budget.take(RECORDS);
    }
    !violation::is_due(machine)
}

/// The same of what clients have told of themselves.
fn expire_telemetry(machine: &mut Machine<'_, '_>, budget: &mut Budget) -> bool {
    while !budget.is_spent() && telemetry::expire(machine) {
        budget.take(2);
    }
    !telemetry::is_due(machine)
}

/// The same of files that no message has got in time, and of those that have not come whole in time.
fn expire_uploads(machine: &mut Machine<'_, '_>, budget: &mut Budget) -> bool {
    /// It, two rows of indexes, and its blob.
    const RECORDS: usize = 4;
    while !budget.is_spent() && upload::expire(machine) {
        budget.take(RECORDS);
    }
    while !budget.is_spent()
        && let Some(chunk_count) = session::expire(machine)
    {
        budget.take(2 + 2 * chunk_count as usize);
    }
    !upload::is_due(machine) && !session::is_due(machine)
}

// ------------------------------------------------------------------------------------------ accounts

/// Removes what an account leaves behind, then makes it nameless. His messages stay under a name that says nothing.
///
/// What must not outlive the account goes first, whatever is left for the next step: by it nobody can log in, and
/// nobody can be told from his address.
fn purge(machine: &mut Machine<'_, '_>, due: u64, user_id: UserId, budget: &mut Budget) {
    token::revoke_all(machine, user_id, Revocation::Security, None);
    forget_secrets(machine, user_id);
    let left = end_bots(machine, user_id, budget)
        && leave_servers(machine, user_id, budget)
        && leave_groups(machine, user_id, budget)
        && end_relationships(machine, user_id, budget);
    if !left {
        return;
    }
    let count = machine.tx.sweep(user_id, budget.0);
    budget.take(count);
    if budget.is_spent() {
        return;
    }
    // His notes, which are the direct messages with himself.
    machine.tx.remove(DM_PAIRS, (user_id, user_id));
    if let Some(user) = machine.tx.get(USERS, user_id).map(User::from) {
        machine.tx.delete(USER_NAMES, user.username.to_ascii_lowercase().as_str());
        let nameless = User {
            username: format!("deleted_{user_id}"),
            created_at: user.created_at,
            tier: user.tier,
            state: account::PURGED,
            deletion_at: user.deletion_at,
            ..User::default()
        };
        machine.tx.put(USERS, user_id, &nameless);
    }
    machine.ensure(|read| !read.contains(CREDENTIALS, user_id), "no password outlives the account");
    machine.ensure(|read| read.scan(USER_TOKENS, user_id).next().is_none(), "nor does a session");
    machine.ensure(|read| read.scan(USER_SERVERS, user_id).next().is_none(), "nor a membership");
    machine.tx.delete(DELETIONS, (due, user_id));
    budget.take(4);
}

/// Removes password, address and avatar.
fn forget_secrets(machine: &mut Machine<'_, '_>, user_id: UserId) {
    machine.tx.delete(CREDENTIALS, user_id);
    oauth::forget_links(machine, user_id);
    // They have the address on them.
    machine.tx.remove_prefix(MAILS, user_id, MAILS_AT_ONCE);
    let Some(mut user) = machine.tx.get(USERS, user_id).map(User::from) else { return };
    if user.email.is_empty() && user.avatar.is_none() {
        return;
    }
    if !user.email.is_empty() {
        machine.tx.delete(USER_EMAILS, user.email_key.as_str());
    }
    if let Some(picture) = user.avatar.take() {
        blob::release(machine, &picture.hash);
    }
    machine.tx.put(USERS, user_id, &User { email: String::new(), email_key: String::new(), ..user });
}

/// Has the bots of an account follow it; true when it has none any more.
fn end_bots(machine: &mut Machine<'_, '_>, user_id: UserId, budget: &mut Budget) -> bool {
    while let Some((_, bot_id)) = first(machine, BOTS, user_id) {
        if budget.is_spent() {
            return false;
        }
        bot::end(machine, bot_id);
        budget.take(5);
    }
    true
}

/// True when he is in no server any more.
fn leave_servers(machine: &mut Machine<'_, '_>, user_id: UserId, budget: &mut Budget) -> bool {
    while let Some((_, server_id)) = first(machine, USER_SERVERS, user_id) {
        if budget.is_spent() {
            return false;
        }
        let owner = machine.tx.get(SERVERS, server_id).map(|server| UserId::from(&server.owner_id));
        match owner {
            Some(owner) if owner == user_id => {
                let count = server::remove(machine, server_id, budget.0);
                budget.take(count);
            }
            Some(_) => member::remove(machine, server_id, user_id),
            // What is left of a server that ended.
            None => drop(machine.tx.remove(USER_SERVERS, (user_id, server_id))),
        }
        budget.take(3);
    }
    true
}

/// True when he is in no group any more.
fn leave_groups(machine: &mut Machine<'_, '_>, user_id: UserId, budget: &mut Budget) -> bool {
    while let Some((_, channel_id)) = first(machine, USER_GROUPS, user_id) {
        if budget.is_spent() {
            return false;
        }
        group::part(machine, channel_id, user_id);
        budget.take(3);
    }
    true
}

fn end_relationships(machine: &mut Machine<'_, '_>, user_id: UserId, budget: &mut Budget) -> bool {
    while let Some((_, other)) = first(machine, RELATIONSHIPS, user_id) {
        if budget.is_spent() {
            return false;
        }
        relationship::remove_both(machine, user_id, other);
        budget.take(2);
    }
    true
}

// ------------------------------------------------------------------------------------------- invites

/// Looks at the next invites and removes those nobody needs; true when a round over all of them is complete.
///
/// They are refused wherever they are used, so it is no matter how long a round takes.
fn expire_invites(machine: &mut Machine<'_, '_>, budget: &mut Budget) -> bool {
    let after = machine.tx.get(META, INVITE_CURSOR).map_or(0, |meta| meta.value.to_native());
    let mut last = None;
    let mut dead: Vec<String> = Vec::new();
    let mut count = 0;
    for (code, invite) in machine.read().scan_after(INVITES, (), after).take(budget.0) {
        if invite::is_prunable(invite, machine.at) {
            dead.push(code.clone());
        }
        last = Some(code);
        count += 1;
    }
    let complete = count < budget.0;
    budget.take(count);
    for code in dead {
        invite::remove(machine, &code);
    }
    let cursor = last.filter(|_| !complete).map_or(0, |code| leading_bytes(&code));
    machine.tx.put(META, INVITE_CURSOR, &Meta { value: cursor });
    complete
}

/// Enters temporary memberships that an earlier version has stored; true when all are known. One walk per store.
fn find_temporary_members(machine: &mut Machine<'_, '_>, budget: &mut Budget) -> bool {
    let [server_id, user_id] =
        TEMPORARY_CURSOR.map(|key| machine.tx.get(META, key).map_or(0, |meta| meta.value.to_native()));
    if server_id == WALK_DONE {
        return true;
    }
    let after = (ServerId(server_id), UserId(user_id));
    let (mut last, mut found, mut count) = (after, Vec::new(), 0);
    for ((server_id, user_id), member) in machine.read().scan_after(MEMBERS, (), after).take(budget.0) {
        if member.temporary {
            found.push((user_id, server_id));
        }
        last = (server_id, user_id);
        count += 1;
    }
    let complete = count < budget.0;
    budget.take(count);
    for key in found {
        machine.tx.put(TEMPORARY_MEMBERS, key, &Nil {});
    }
    let cursor = if complete { [WALK_DONE, 0] } else { [last.0.0, last.1.0] };
    for (key, value) in TEMPORARY_CURSOR.into_iter().zip(cursor) {
        machine.tx.put(META, key, &Meta { value });
    }
    complete
}

/// The first eight bytes as the number whose key sorts the same; shorter codes are filled with zeros.
fn leading_bytes(code: &str) -> u64 {
    let mut bytes = [0; 8];
    let len = code.len().min(8);
    bytes[..len].copy_from_slice(&code.as_bytes()[..len]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Change, Command, EventName, Now, Op, Output, Reply};
    use crate::id::{ChannelId, MessageId};
    use crate::store::records::*;
    use crate::store::{Options, Store, Sync, Tx};

    const AT: u64 = 1_767_225_600_000;
    const DAY_MS: u64 = 86_400_000;
    const GONE: UserId = UserId(1);
    const OTHER: UserId = UserId(2);

    struct World {
        store: Store,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> World {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_path_buf();
            let options = Options { path, map_size: 1 << 26, sync: Sync::Interval, readers_max: 8 };
            World { store: Store::open(&options).unwrap(), _folder: folder }
        }

        fn write(&self, change: impl FnOnce(&mut Tx<'_>)) {
            let mut tx = self.store.begin().unwrap();
            change(&mut tx);
            tx.commit().unwrap();
        }

        fn apply(&self, at: u64, actor: UserId, op: impl Into<Op>) -> (Result<Reply>, Vec<Output>) {
            let mut tx = self.store.begin().unwrap();
            let mut machine = Machine::begin(&mut tx, Now::at(at), 0);
            let reply = machine.apply(&Command::new(actor, op.into()));
            let outputs = machine.finish();
            tx.commit().unwrap();
            (reply, outputs)
        }

        /// Sweeps until nothing is left; returns everything made known and how many commands it took.
        fn sweep(&self, at: u64, records_max: u64) -> (Vec<Output>, usize) {
            let mut all = Vec::new();
            for count in 1..10_000 {
                let (reply, outputs) = self.apply(at, UserId(0), Sweep { records_max });
                all.extend(outputs);
                if reply == Ok(Reply::Count(0)) {
                    return (all, count);
                }
            }
            panic!("the sweep does not come to an end");
        }

        fn count(&self) -> impl Fn(&str) -> u64 + '_ {
            |name| {
                let index = ROWS.iter().position(|row| row.name == name).unwrap();
                self.store.snapshot().read().raw(index).count() as u64
            }
        }
    }

    fn account(tx: &mut Tx<'_>, id: UserId, name: &str, deletion_at: Option<u64>) {
        let email = format!("{name}@example.com");
        let state = if deletion_at.is_some() { account::FROZEN } else { account::ACTIVE };
        let user = User {
            username: name.into(),
            email: email.clone(),
            email_key: email.clone(),
            state,
            deletion_at,
            ..User::default()
        };
        tx.put(USERS, id, &user);
        tx.put(USER_NAMES, name, &UserRef { id });
        tx.put(USER_EMAILS, email.as_str(), &UserRef { id });
        tx.put(CREDENTIALS, id, &Credential::default());
        if let Some(due) = deletion_at {
            tx.put(DELETIONS, (due, id), &Nil {});
        }
    }

    fn join(tx: &mut Tx<'_>, server_id: ServerId, owner_id: UserId, members: &[UserId]) {
        let member_count = members.len() as u64;
        tx.put(SERVERS, server_id, &Server { owner_id, member_count, ..Server::default() });
        for &user_id in members {
            tx.put(MEMBERS, (server_id, user_id), &Member::default());
            tx.put(USER_SERVERS, (user_id, server_id), &Nil {});
        }
    }

    /// A store of a version that did not list them.
    #[test]
    fn temporary_members_of_an_old_store_are_found_once() {
        for records_max in [1, 3, 500] {
            let world = World::new();
            world.write(|tx| {
                for server_id in (1..=4).map(ServerId) {
                    for user_id in (1..=5).map(UserId) {
                        let temporary = (server_id.0 + user_id.0).is_multiple_of(3);
                        tx.put(MEMBERS, (server_id, user_id), &Member { temporary, ..Member::default() });
                    }
                }
            });
            world.sweep(AT, records_max);
            let snapshot = world.store.snapshot();
            let found = snapshot
                .read()
                .scan(TEMPORARY_MEMBERS, ())
                .map(|((user_id, server_id), _)| (user_id.0, server_id.0));
            let want = (1..=5).flat_map(|user| (1..=4).map(move |server| (user, server)));
            let want = want.filter(|(user, server)| (user + server) % 3 == 0);
            assert!(found.eq(want), "{records_max}");
        }
    }

    /// What is left of each table: the other account, what he has, and the server he is in.
    const LEFT: &[(&str, u64)] = &[
        ("user_names", 1),
        ("user_emails", 1),
        ("credentials", 1),
        ("servers", 1),
        ("members", 1),
        ("user_servers", 1),
        ("server_garbage", 0),
        ("server_channels", 0),
        ("relationships", 0),
        ("settings", 0),
        ("presences", 0),
        ("deletions", 0),
        ("messages", 0),
        ("author_messages", 0),
        ("channels", 0),
        ("channel_garbage", 0),
        ("dm_pairs", 0),
        ("read_marks", 0),
        ("channel_readers", 0),
    ];

    #[test]
    fn purge_leaves_a_nameless_account() {
        for records_max in [1, 7, 500] {
            let world = World::new();
            let (owned, joined, notes) = (ServerId(10), ServerId(11), ChannelId(30));
            world.write(|tx| {
                account(tx, GONE, "gone", Some(AT));
                account(tx, OTHER, "other", None);
                join(tx, owned, GONE, &[GONE, OTHER]);
                join(tx, joined, OTHER, &[GONE, OTHER]);
                tx.put(SERVER_CHANNELS, (owned, ChannelId(20)), &Nil {});
                tx.put(CHANNELS, ChannelId(20), &Channel::default());
                tx.put(DM_PAIRS, (GONE, GONE), &ChannelRef { id: notes });
                tx.put(CHANNELS, notes, &Channel::default());
                for id in 0..20 {
                    tx.put(
                        MESSAGES,
                        (notes, MessageId(100 + id)),
                        &Message { author_id: GONE, ..Message::default() },
                    );
                    tx.put(AUTHOR_MESSAGES, (GONE, MessageId(100 + id)), &ChannelRef { id: notes });
                    tx.put(SETTINGS, (GONE, format!("key{id}").as_str()), &Setting::default());
                }
                let friend = Relationship { kind: relation::FRIEND, ..Relationship::default() };
                tx.put(RELATIONSHIPS, (GONE, OTHER), &friend);
                tx.put(RELATIONSHIPS, (OTHER, GONE), &friend);
                tx.put(READ_MARKS, (GONE, ChannelId(20)), &MessageRef::default());
                tx.put(CHANNEL_READERS, (ChannelId(20), GONE), &MessageRef::default());
                tx.put(PRESENCES, GONE, &Presence::default());
            });
            // Not due yet: there is nothing to do but to look for temporary members.
            assert!(world.sweep(AT - 1, records_max).0.is_empty());
            assert_eq!(world.apply(AT - 1, UserId(0), Sweep { records_max }).0, Ok(Reply::Count(0)));

            let (outputs, count) = world.sweep(AT, records_max);
            assert!(count > 1 || records_max == 500, "{records_max}: bounded work per command");
            let snapshot = world.store.snapshot();
            let user = snapshot.read().get(USERS, GONE).unwrap();
            assert_eq!((user.username.as_str(), user.email.as_str()), ("deleted_1", ""));
            assert_eq!(user.state, account::PURGED);
            assert_eq!(snapshot.read().get(SERVERS, joined).unwrap().member_count, 1);
            for (table, left) in LEFT {
                assert_eq!(world.count()(table), *left, "{table} with {records_max}");
            }
            let names: Vec<EventName> = outputs
                .iter()
                .filter_map(|output| match output {
                    Output::Event(event) => Some(event.name),
                    Output::Change(_) => None,
                })
                .collect();
            let want = [
                // The server he owned; the one he was in, to himself and to the others.
                EventName::GuildDelete,
                EventName::GuildDelete,
                EventName::GuildMemberRemove,
                EventName::RelationshipRemove,
            ];
            assert_eq!(names, want);
            let removed = Change::MemberRemoved { server_id: joined, user_id: GONE };
            assert!(outputs.contains(&Output::Change(removed)));
        }
    }

    /// Another build's, for a letter that is no capital to this one.
    #[test]
    fn an_address_is_forgotten_by_the_key_that_was_kept() {
        let world = World::new();
        world.write(|tx| {
            account(tx, GONE, "gone", Some(AT));
            let user = User::from(tx.get(USERS, GONE).unwrap());
            let (email, email_key) = ("\u{378}@example.com".to_string(), "\u{379}@example.com".to_string());
            tx.delete(USER_EMAILS, user.email_key.as_str());
            tx.put(USER_EMAILS, email_key.as_str(), &UserRef { id: GONE });
            tx.put(USERS, GONE, &User { email, email_key, ..user });
        });
        world.sweep(AT, 500);
        assert_eq!((world.count()("user_emails"), world.count()("credentials")), (0, 0));
    }

    #[test]
    fn channels_go_with_all_that_hangs_on_them() {
        for records_max in [1, 3, 500] {
            let world = World::new();
            let channel_id = ChannelId(20);
            world.write(|tx| {
                tx.put(CHANNEL_GARBAGE, channel_id, &Nil {});
                tx.put(MESSAGES, (ChannelId(21), MessageId(1)), &Message::default());
                for id in 0..5 {
                    let id = MessageId(id);
                    tx.put(MESSAGES, (channel_id, id), &Message { reacted: true, ..Message::default() });
                    tx.put(AUTHOR_MESSAGES, (UserId(0), id), &ChannelRef { id: channel_id });
                    tx.put(REACTION_SETS, id, &ReactionSet::default());
                    tx.put(PINS, (channel_id, id.0), &MessageRef { id });
                    for user in 0..4 {
                        tx.put(REACTIONS, (id, 0, UserId(user)), &Reaction::default());
                        tx.put(REACTION_ORDER, (id, 0, user, UserId(user)), &Nil {});
                    }
                }
                tx.put(OVERRIDES, (channel_id, 0, 1), &Override::default());
                tx.put(SLOWMODE, (channel_id, GONE), &Meta::default());
                // Of all, of an author, and of one who has deleted what he wrote there.
                for (author, place) in (0..3).flat_map(|author| (0..4).map(move |place| (author, place))) {
                    tx.put(LEDGER_COUNTS, (channel_id, author, place), &Meta::default());
                    tx.put(LEDGER_GONE, (channel_id, author, place), &Meta::default());
                }
                for owner in [(0, channel_id.0), (1, channel_id.0)] {
                    tx.put(LEDGER_WINDOWS, (owner.0, owner.1, 3), &Meta { value: 1 });
                }
                tx.put(LEDGER_COUNTS, (ChannelId(21), 1, 0), &Meta::default());
            });
            world.sweep(AT, records_max);
            for (table, owner) in
                [("messages", "channel"), ("ledger_counts", "channel"), ("ledger_windows", "author")]
            {
                assert_eq!(world.count()(table), 1, "{table} of another {owner}");
            }
            for table in [
                "author_messages",
                "reaction_sets",
                "reactions",
                "reaction_order",
                "pins",
                "overrides",
                "slowmode",
                "ledger_gone",
                "channel_garbage",
            ] {
                assert_eq!(world.count()(table), 0, "{table} with {records_max}");
            }
        }
    }

    #[test]
    fn invites_end_with_their_age() {
        for records_max in [1, 2, 500] {
            let world = World::new();
            let invites =
                [("aaaaaaaaaaaa", 60), ("aaaaab", 0), ("bbbbbbbbbbbb", 86_400), ("zzzzzzzzzzzz", 3_600)];
            world.write(|tx| {
                for (code, max_age) in invites {
                    let server_id = ServerId(5);
                    tx.put(
                        INVITES,
                        code,
                        &Invite { server_id, max_age, created_at: AT, ..Invite::default() },
                    );
                    tx.put(SERVER_INVITES, (server_id, code), &Nil {});
                }
            });
            let (outputs, _) = world.sweep(AT + DAY_MS - 1, records_max);
            assert_eq!(outputs.len(), 2, "one event each");
            assert_eq!((world.count()("invites"), world.count()("server_invites")), (2, 2));
            world.sweep(AT + DAY_MS, records_max);
            assert_eq!(world.count()("invites"), 1, "the one without an end");
        }
    }

    #[test]
    fn invites_that_are_used_up_stay_for_a_day() {
        let world = World::new();
        world.write(|tx| {
            let invite = Invite { uses: 1, max_uses: 1, created_at: AT, ..Invite::default() };
            tx.put(INVITES, "aaaaaaaaaaaa", &invite);
        });
        world.sweep(AT + DAY_MS - 1, 500);
        assert_eq!(world.count()("invites"), 1);
        let (outputs, _) = world.sweep(AT + DAY_MS, 500);
        assert_eq!((world.count()("invites"), outputs.len()), (0, 0), "its end was told when it was used up");
    }

    #[test]
    fn only_the_server_sweeps() {
        let (reply, _) = World::new().apply(AT, GONE, Sweep { records_max: 1 });
        assert_eq!(reply.unwrap_err().status, 403);
    }
}
