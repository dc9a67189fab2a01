//! Which sessions of this core are in which server, and what they may see there.
//!
//! Members with the same roles have the same permissions: they share a *class*. What a class may do in a channel is
//! computed once and dropped when roles or overrides of the server change; a change of one member's roles moves one
//! entry to another class. So neither an event nor a change costs anything per member that it does not concern.
//!
//! Memory: 8 bytes per session and server. Growth: an event visits the entries of its server once; a session that
//! comes, goes or changes its roles costs the logarithm of their number, and of the number of classes nothing.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use super::entries::{Entries, Entry};
use super::session::Slot;
use crate::domain::permission::{self, ALL, Overrides};
use crate::id::{ChannelId, RoleId, ServerId, UserId};
use crate::store::Read;
use crate::store::tables::{MEMBERS, SERVERS};

/// Members with the same roles.
#[derive(Debug)]
struct Class {
    owner: bool,
    /// Sorted.
    roles: SmallVec<[RoleId; 4]>,
    /// Server-wide permissions; `None` until needed.
    permissions: Option<u64>,
    /// Entries of this class.
    count: u32,
    /// The next class whose roles have the same hash.
    next: u16,
}

#[derive(Debug, Default)]
struct Place {
    entries: Entries,
    /// How many entries ask for each intent bit: an event that nobody wants costs one look, however large the
    /// server. Every session that comes announces a presence; without this a reconnect of all would be quadratic.
    wanted: [u32; 16],
    classes: Vec<Class>,
    /// Hash of the roles → first class with it. Empty while there are so few classes that looking through them is
    /// no dearer; without this a server whose members all differ in their roles would be quadratic.
    class_index: FxHashMap<u64, u16>,
    /// Classes without an entry.
    unused_count: usize,
    /// Permissions of each class in a channel, as far as computed.
    channels: FxHashMap<ChannelId, Masks>,
}

#[derive(Debug, Default)]
struct Masks {
    by_class: Vec<u64>,
    /// What overrides of single members allow and deny on top of their class, sorted by user.
    personal: Vec<(UserId, u64, u64)>,
}

/// Per core: server → sessions.
#[derive(Debug, Default)]
pub struct Interest {
    places: FxHashMap<ServerId, Place>,
    /// Entries of all places.
    entry_count: usize,
}

/// Who of a server is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Filter {
    /// Everybody, or those who have one of these permissions.
    Server(u64),
    /// Those who have all these permissions in a channel.
    Channel(ChannelId, u64),
}

impl Interest {
    pub fn add(&mut self, read: Read<'_>, server_id: ServerId, user_id: UserId, slot: Slot, intents: u16) {
        let place = self.places.entry(server_id).or_default();
        let class = class_of(place, read, server_id, user_id);
        place.enter_class(class);
        bits(intents).for_each(|bit| place.wanted[bit] += 1);
        match place.entries.insert(Entry { slot, class, intents }) {
            Some(before) => place.forget(before),
            None => self.entry_count += 1,
        }
    }

    pub fn remove(&mut self, server_id: ServerId, slot: Slot) {
        let Some(place) = self.places.get_mut(&server_id) else { return };
        if let Some(gone) = place.entries.remove(slot) {
            place.forget(gone);
            self.entry_count -= 1;
        }
        if place.entries.is_empty() {
            self.places.remove(&server_id);
        }
    }

    /// Forgets a server; its sessions stay.
    pub fn remove_server(&mut self, server_id: ServerId) {
        let gone = self.places.remove(&server_id);
        self.entry_count -= gone.map_or(0, |place| place.entries.len());
    }

    /// Roles or overrides changed: what was computed no longer holds.
    pub fn permissions_changed(&mut self, server_id: ServerId) {
        let Some(place) = self.places.get_mut(&server_id) else { return };
        place.channels.clear();
        for class in &mut place.classes {
            class.permissions = None;
        }
    }

    /// A member's roles changed: his sessions move to another class.
    pub fn member_changed(&mut self, read: Read<'_>, server_id: ServerId, user_id: UserId, slots: &[Slot]) {
        let Some(place) = self.places.get_mut(&server_id) else { return };
        if slots.is_empty() {
            return;
        }
        let class = class_of(place, read, server_id, user_id);
        for &slot in slots {
            let Some(entry) = place.entries.get_mut(slot) else { continue };
            let before = std::mem::replace(&mut entry.class, class);
            place.enter_class(class);
            place.leave_class(before);
        }
    }

    /// Appends the slots that `filter` lets through and that asked for `intent` (0 = no matter).
    ///
    /// Hot: once per event; reads 8 bytes per session of the server.
    pub fn collect(
        &mut self,
        read: Read<'_>,
        server_id: ServerId,
        filter: Filter,
        intent: u16,
        user_of: impl Fn(Slot) -> UserId,
        out: &mut Vec<Slot>,
    ) {
        let Some(place) = self.places.get_mut(&server_id) else { return };
        if intent != 0 && bits(intent).all(|bit| place.wanted[bit] == 0) {
            return;
        }
        // One bit per class: may it?
        let allowed: SmallVec<[bool; 32]> = match filter {
            Filter::Server(0) => smallvec::smallvec![true; place.classes.len()],
            Filter::Server(any_of) => {
                let bits = (0..place.classes.len()).map(|index| server_bits(place, read, server_id, index));
                bits.map(|bits| bits & any_of != 0).collect()
            }
            Filter::Channel(channel_id, all_of) => {
                complete_masks(place, read, server_id, channel_id);
                let masks = &place.channels[&channel_id];
                if !masks.personal.is_empty() {
                    return collect_personal(
                        &place.entries,
                        masks,
                        &place.classes,
                        (all_of, intent),
                        user_of,
                        out,
                    );
                }
                masks.by_class.iter().map(|bits| bits & all_of == all_of).collect()
            }
        };
        out.reserve(place.entries.len());
        place.entries.blocks().for_each(|block| collect_allowed(block, &allowed, intent, out));
    }

    /// Appends the slots of a server that asked for `intent` (0 = no matter) and do not carry `mark` yet; from now on
    /// they do.
    ///
    /// Hot: a change of presence comes here once per server of its user.
    pub fn collect_new(
        &mut self,
        server_id: ServerId,
        intent: u16,
        marks: &mut [u32],
        mark: u32,
        out: &mut Vec<Slot>,
    ) {
        let Some(place) = self.places.get(&server_id) else { return };
        if intent != 0 && bits(intent).all(|bit| place.wanted[bit] == 0) {
            return;
        }
        for entry in place.entries.blocks().flatten() {
            if wants(entry, intent) && marks[entry.slot.0 as usize] != mark {
                marks[entry.slot.0 as usize] = mark;
                out.push(entry.slot);
            }
        }
    }

    /// All entries; 0 when there are no sessions.
    pub fn entry_count(&self) -> usize {
        let count = self.places.values().map(|place| place.entries.len()).sum();
        debug_assert_eq!(self.entry_count, count);
        count
    }

    /// Bytes of servers and entries, without what is computed per class and channel.
    pub fn state_len(&self) -> usize {
        super::survey::map_len::<ServerId, Place>(self.places.capacity())
            + self.entry_count * size_of::<Entry>()
    }

    /// What was computed for a channel that is gone.
    pub fn forget_channel(&mut self, server_id: ServerId, channel_id: ChannelId) {
        if let Some(place) = self.places.get_mut(&server_id) {
            place.channels.remove(&channel_id);
        }
    }
}

impl Place {
    fn enter_class(&mut self, index: u16) {
        let Some(class) = self.classes.get_mut(usize::from(index)) else { return };
        self.unused_count -= usize::from(class.count == 0);
        class.count += 1;
    }

    fn leave_class(&mut self, index: u16) {
        let Some(class) = self.classes.get_mut(usize::from(index)) else { return };
        class.count -= 1;
        self.unused_count += usize::from(class.count == 0);
    }

    /// What was counted for an entry that is gone.
    fn forget(&mut self, gone: Entry) {
        bits(gone.intents).for_each(|bit| self.wanted[bit] -= 1);
        self.leave_class(gone.class);
    }

    fn find_class(&self, owner: bool, roles: &[RoleId]) -> Option<u16> {
        let is_it = |class: &Class| class.owner == owner && *class.roles == *roles;
        if self.class_index.is_empty() {
            return self.classes.iter().position(is_it).map(|index| index as u16);
        }
        let mut index = *self.class_index.get(&hash(owner, roles))?;
        while index != NO_CLASS && !is_it(&self.classes[usize::from(index)]) {
            index = self.classes[usize::from(index)].next;
        }
        (index != NO_CLASS).then_some(index)
    }

    fn push_class(&mut self, owner: bool, roles: SmallVec<[RoleId; 4]>) {
        self.classes.push(Class { owner, roles, permissions: None, count: 0, next: NO_CLASS });
        self.unused_count += 1;
        let first = if self.class_index.is_empty() { 0 } else { self.classes.len() - 1 };
        if self.classes.len() > CLASS_SEARCH_MAX {
            (first..self.classes.len()).for_each(|index| self.index_class(index));
        }
    }

    fn index_class(&mut self, index: usize) {
        let class = &mut self.classes[index];
        let before = self.class_index.insert(hash(class.owner, &class.roles), index as u16);
        class.next = before.unwrap_or(NO_CLASS);
    }

    /// Whether dropping classes pays: it walks over all entries and classes.
    fn has_many_unused(&self) -> bool {
        let full = self.classes.len() == usize::from(NO_CLASS);
        self.unused_count > CLASS_SPARE + self.entries.len() / 8
            || full && self.unused_count > self.classes.len() / 16
    }
}

fn hash(owner: bool, roles: &[RoleId]) -> u64 {
    FxBuildHasher.hash_one((owner, roles))
}

/// Numbers of the bits that are set.
fn bits(intents: u16) -> impl Iterator<Item = usize> {
    (0..16).filter(move |bit| intents & 1 << bit != 0)
}

fn wants(entry: &Entry, intent: u16) -> bool {
    intent == 0 || entry.intents & intent != 0
}

/// The inner loop of every fan-out.
fn collect_allowed(entries: &[Entry], allowed: &[bool], intent: u16, out: &mut Vec<Slot>) {
    for entry in entries {
        if wants(entry, intent) && allowed.get(entry.class as usize) == Some(&true) {
            out.push(entry.slot);
        }
    }
}

/// The same for channels with overrides of single members: looks up the user of each entry.
#[cold]
fn collect_personal(
    entries: &Entries,
    masks: &Masks,
    classes: &[Class],
    (all_of, intent): (u64, u16),
    user_of: impl Fn(Slot) -> UserId,
    out: &mut Vec<Slot>,
) {
    for entry in entries.blocks().flatten().filter(|entry| wants(entry, intent)) {
        let Some(class) = classes.get(entry.class as usize) else { continue };
        let mut bits = masks.by_class[entry.class as usize];
        let user_id = user_of(entry.slot);
        if let Ok(index) = masks.personal.binary_search_by_key(&user_id, |(user_id, ..)| *user_id)
            && !class.is_exempt()
        {
            let (_, allow, deny) = masks.personal[index];
            bits = permission::overridden(bits, allow, deny);
        }
        if bits & all_of == all_of {
            out.push(entry.slot);
        }
    }
}

impl Class {
    /// Overrides say nothing to the owner and to administrators. For classes whose permissions are known.
    fn is_exempt(&self) -> bool {
        self.owner || self.permissions.is_some_and(|bits| bits & permission::ADMINISTRATOR != 0)
    }
}

/// The class of a member. A new one has no entries yet: see [`Place::enter_class`].
fn class_of(place: &mut Place, read: Read<'_>, server_id: ServerId, user_id: UserId) -> u16 {
    let owner = read.get(SERVERS, server_id).is_some_and(|server| UserId::from(&server.owner_id) == user_id);
    // A member who left again within the batch has no record any more: nobody sees through an empty class.
    let mut roles: SmallVec<[RoleId; 4]> = read
        .get(MEMBERS, (server_id, user_id))
        .map_or_else(SmallVec::new, |member| member.role_ids().collect());
    roles.sort_unstable();
    if let Some(index) = place.find_class(owner, &roles) {
        return index;
    }
    if place.has_many_unused() {
        drop_unused_classes(place);
    }
    if place.classes.len() == usize::from(NO_CLASS) {
        return NO_CLASS;
    }
    place.push_class(owner, roles);
    (place.classes.len() - 1) as u16
}

/// More than 65,535 role combinations of present sessions in one server on one core: the surplus gets no events,
/// which is safe.
const NO_CLASS: u16 = u16::MAX;

/// Classes that may be out of use before they are dropped.
const CLASS_SPARE: usize = 64;

/// Up to so many classes are looked through without an index.
const CLASS_SEARCH_MAX: usize = 16;

/// Role combinations come and go; only those of present sessions are worth keeping.
#[cold]
fn drop_unused_classes(place: &mut Place) {
    let mut new_index = Vec::with_capacity(place.classes.len());
    let mut kept = 0;
    for class in &place.classes {
        new_index.push(if class.count == 0 { NO_CLASS } else { kept });
        kept += u16::from(class.count > 0);
    }
    for entry in place.entries.iter_mut() {
        entry.class = new_index.get(usize::from(entry.class)).copied().unwrap_or(NO_CLASS);
    }
    place.channels.clear();
    place.class_index.clear();
    place.unused_count = 0;
    place.classes.retain(|class| class.count > 0);
    place.classes.iter_mut().for_each(|class| class.next = NO_CLASS);
    if place.classes.len() > CLASS_SEARCH_MAX {
        (0..place.classes.len()).for_each(|index| place.index_class(index));
    }
}

/// Server-wide permissions of a class.
fn server_bits(place: &mut Place, read: Read<'_>, server_id: ServerId, index: usize) -> u64 {
    let class = &mut place.classes[index];
    *class.permissions.get_or_insert_with(|| match read.get(SERVERS, server_id) {
        Some(_) if class.owner => ALL,
        Some(server) => permission::role_permissions(read, server_id, server, class.roles.iter().copied()),
        None => 0,
    })
}

/// Computes what is missing of the permissions of all classes in a channel. The overrides are read once.
fn complete_masks(place: &mut Place, read: Read<'_>, server_id: ServerId, channel_id: ChannelId) {
    let known = place.channels.get(&channel_id).map_or(0, |masks| masks.by_class.len());
    if known == place.classes.len() && place.channels.contains_key(&channel_id) {
        return;
    }
    let overrides = Overrides::of(read, channel_id);
    let server = read.get(SERVERS, server_id);
    let everyone = server.map(|server| RoleId::from(&server.everyone_role_id));
    let mut masks = place.channels.remove(&channel_id).unwrap_or_default();
    for index in known..place.classes.len() {
        let permissions = server_bits(place, read, server_id, index);
        let class = &place.classes[index];
        masks.by_class.push(match everyone {
            Some(_) if class.owner => ALL,
            Some(everyone) => overrides.apply_roles(everyone, &class.roles, permissions),
            None => 0,
        });
    }
    masks.personal = overrides.members;
    place.channels.insert(channel_id, masks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Asking;
    use crate::domain::permission::{CHANNELS_VIEW, EVERYONE_DEFAULT, MESSAGES_READ};
    use crate::store::records::{Member, Override, Role, Server};
    use crate::store::tables::{OVERRIDES, ROLES};
    use crate::store::tests::temporary;
    use crate::store::{Store, Tx};

    const SERVER: ServerId = ServerId(1);
    const CHANNEL: ChannelId = ChannelId(2);
    const EVERYONE: RoleId = RoleId(10);
    const VIEWER: RoleId = RoleId(11);

    fn change(store: &Store, change: impl FnOnce(&mut Tx<'_>)) {
        let mut tx = store.begin().unwrap();
        change(&mut tx);
        tx.commit().unwrap();
    }

    /// Owner 100, members 101 (no role) and 102 (viewer); slots are their numbers.
    fn prepared(everyone: u64) -> (tempfile::TempDir, Store, Interest) {
        let (folder, store) = temporary(1 << 24);
        change(&store, |tx| {
            let server = Server { owner_id: UserId(100), everyone_role_id: EVERYONE, ..Server::default() };
            tx.put(SERVERS, SERVER, &server);
            tx.put(ROLES, (SERVER, EVERYONE), &Role { bits: everyone, ..Role::default() });
            tx.put(ROLES, (SERVER, VIEWER), &Role { bits: CHANNELS_VIEW | MESSAGES_READ, ..Role::default() });
            for (user, roles) in [(100, vec![]), (101, vec![]), (102, vec![VIEWER])] {
                tx.put(MEMBERS, (SERVER, UserId(user)), &Member { roles, ..Member::default() });
            }
        });
        let mut interest = Interest::default();
        let snapshot = store.snapshot();
        for slot in [100, 101, 102] {
            interest.add(snapshot.read(), SERVER, UserId(slot.into()), Slot(slot), 1 << (slot - 100));
        }
        (folder, store, interest)
    }

    fn collected(store: &Store, interest: &mut Interest, filter: Filter, intent: u16) -> Vec<u32> {
        let mut out = Vec::new();
        let snapshot = store.snapshot();
        let user_of = |slot: Slot| UserId(slot.0.into());
        interest.collect(snapshot.read(), SERVER, filter, intent, user_of, &mut out);
        out.sort_unstable();
        out.into_iter().map(|slot| slot.0).collect()
    }

    const READERS: Filter = Filter::Channel(CHANNEL, CHANNELS_VIEW | MESSAGES_READ);

    #[test]
    fn roles_decide_and_changes_bite_at_once() {
        let (_folder, store, mut interest) = prepared(EVERYONE_DEFAULT);
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 101, 102]);
        change(&store, |tx| tx.put(ROLES, (SERVER, EVERYONE), &Role::default()));
        interest.permissions_changed(SERVER);
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 102]);
        change(&store, |tx| {
            tx.put(MEMBERS, (SERVER, UserId(101)), &Member { roles: vec![VIEWER], ..Member::default() });
        });
        interest.member_changed(store.snapshot().read(), SERVER, UserId(101), &[Slot(101)]);
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 101, 102]);
        interest.remove(SERVER, Slot(102));
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 101]);
    }

    #[test]
    fn role_combinations_that_nobody_has_are_dropped() {
        let (_folder, store, mut interest) = prepared(EVERYONE_DEFAULT);
        for role in 1_000..1_500 {
            change(&store, |tx| {
                let roles = vec![RoleId(role)];
                tx.put(MEMBERS, (SERVER, UserId(101)), &Member { roles, ..Member::default() });
            });
            interest.member_changed(store.snapshot().read(), SERVER, UserId(101), &[Slot(101)]);
        }
        assert!(interest.places[&SERVER].classes.len() < 100);
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 101, 102]);
        assert_eq!(collected(&store, &mut interest, Filter::Server(permission::MEMBERS_BAN), 0), [100]);
    }

    #[test]
    fn intents_and_server_permissions_filter() {
        let (_folder, store, mut interest) = prepared(EVERYONE_DEFAULT);
        assert_eq!(collected(&store, &mut interest, Filter::Server(0), 1 << 1), [101]);
        assert_eq!(collected(&store, &mut interest, Filter::Server(permission::MEMBERS_BAN), 0), [100]);
        assert_eq!(interest.entry_count(), 3);
        interest.remove(SERVER, Slot(101));
        assert_eq!(interest.entry_count(), 2);
        interest.remove_server(SERVER);
        assert_eq!(interest.entry_count(), 0);
        assert_eq!(collected(&store, &mut interest, Filter::Server(0), 0), [0; 0]);
    }

    #[test]
    fn overrides_of_roles_and_of_single_members() {
        let (_folder, store, mut interest) = prepared(EVERYONE_DEFAULT);
        change(&store, |tx| {
            tx.put(OVERRIDES, (CHANNEL, 0, EVERYONE.0), &Override { allow: 0, deny: CHANNELS_VIEW });
            tx.put(OVERRIDES, (CHANNEL, 0, VIEWER.0), &Override { allow: CHANNELS_VIEW, deny: 0 });
        });
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 102]);
        change(&store, |tx| {
            tx.put(OVERRIDES, (CHANNEL, 1, 101), &Override { allow: CHANNELS_VIEW, deny: 0 });
            tx.put(OVERRIDES, (CHANNEL, 1, 102), &Override { allow: 0, deny: CHANNELS_VIEW });
        });
        interest.permissions_changed(SERVER);
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 101]);
    }

    /// A user's permissions as the rules see them, against what the index lets through.
    #[test]
    fn agrees_with_the_rules_whatever_changes() {
        const USERS: u64 = 40;
        let masks = [CHANNELS_VIEW, MESSAGES_READ, 0, permission::MEMBERS_BAN];
        for seed in 0..6 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (_folder, store, mut interest) = prepared(EVERYONE_DEFAULT);
            (100..103).for_each(|slot| interest.remove(SERVER, Slot(slot)));
            let mut here = std::collections::BTreeSet::new();
            let roles = |random: &mut fastrand::Rng| {
                let all = (1_000..1_006).map(RoleId);
                all.filter(|_| random.u8(0..3) == 0).collect::<Vec<_>>()
            };
            change(&store, |tx| {
                for role in 1_000..1_006 {
                    let bits =
                        if role == 1_000 { permission::ADMINISTRATOR } else { masks[random.usize(0..4)] };
                    tx.put(ROLES, (SERVER, RoleId(role)), &Role { bits, ..Role::default() });
                }
                for user in 100..100 + USERS {
                    let roles = roles(&mut random);
                    tx.put(MEMBERS, (SERVER, UserId(user)), &Member { roles, ..Member::default() });
                }
            });
            for step in 0..400 {
                let user = 100 + random.u64(0..USERS);
                let (user_id, slot) = (UserId(user), user as u32);
                match random.u8(0..10) {
                    0..3 => {
                        interest.add(store.snapshot().read(), SERVER, user_id, Slot(slot), 1);
                        here.insert(slot);
                    }
                    3..5 => {
                        interest.remove(SERVER, Slot(slot));
                        here.remove(&slot);
                    }
                    5..8 => {
                        let roles = roles(&mut random);
                        change(&store, |tx| {
                            tx.put(MEMBERS, (SERVER, user_id), &Member { roles, ..Member::default() });
                        });
                        interest.member_changed(store.snapshot().read(), SERVER, user_id, &[Slot(slot)]);
                    }
                    kind => {
                        let (kind, target) = if kind == 8 { (0, 1_000 + user % 6) } else { (1, user) };
                        let item =
                            Override { allow: masks[random.usize(0..2)], deny: masks[random.usize(0..2)] };
                        change(&store, |tx| tx.put(OVERRIDES, (CHANNEL, kind, target), &item));
                        interest.permissions_changed(SERVER);
                    }
                }
                let snapshot = store.snapshot();
                let read = snapshot.read();
                let asking = Asking { read, at: 0, who: UserId(0) };
                let standing = |slot: u32| asking.of(UserId(slot.into())).server(SERVER).unwrap();
                let may = |slot: &u32| {
                    let bits = standing(*slot).permissions_in(CHANNEL);
                    bits & (CHANNELS_VIEW | MESSAGES_READ) == CHANNELS_VIEW | MESSAGES_READ
                };
                let want: Vec<u32> = here.iter().copied().filter(may).collect();
                assert_eq!(collected(&store, &mut interest, READERS, 1), want, "seed {seed}, step {step}");
                let banning = Filter::Server(permission::MEMBERS_BAN);
                let want: Vec<u32> = here
                    .iter()
                    .copied()
                    .filter(|slot| standing(*slot).has(permission::MEMBERS_BAN))
                    .collect();
                assert_eq!(collected(&store, &mut interest, banning, 0), want, "seed {seed}, step {step}");
                let counted: u32 = interest.places.get(&SERVER).map_or(0, |place| place.wanted[0]);
                assert_eq!(counted as usize, here.len(), "seed {seed}, step {step}");
                let classes = interest.places.get(&SERVER).map_or(&[][..], |place| &place.classes);
                assert_eq!(classes.iter().map(|class| class.count as usize).sum::<usize>(), here.len());
            }
        }
    }

    #[test]
    fn members_who_all_differ_in_their_roles_are_found_by_them() {
        const COUNT: u64 = 2_000;
        let (_folder, store, mut interest) = prepared(EVERYONE_DEFAULT);
        change(&store, |tx| {
            for user in 0..COUNT {
                let roles = vec![RoleId(5_000 + user % 50), RoleId(6_000 + user / 50)];
                tx.put(MEMBERS, (SERVER, UserId(1_000 + user)), &Member { roles, ..Member::default() });
            }
        });
        let snapshot = store.snapshot();
        for user in 0..COUNT {
            interest.add(snapshot.read(), SERVER, UserId(1_000 + user), Slot(1_000 + user as u32), 0);
        }
        let place = &interest.places[&SERVER];
        assert_eq!(place.classes.len() as u64, COUNT + 3);
        let reached = |class: &Class| {
            let index = place.find_class(class.owner, &class.roles).unwrap();
            std::ptr::eq(&raw const place.classes[usize::from(index)], class)
        };
        assert!(place.classes.iter().all(reached));
        // Nearly every one has its hash for itself: no walk over all of them.
        assert!(place.class_index.len() as u64 > COUNT * 9 / 10);
        // Who comes again and again does not make classes.
        for user in 0..COUNT {
            interest.member_changed(
                snapshot.read(),
                SERVER,
                UserId(1_000 + user),
                &[Slot(1_000 + user as u32)],
            );
        }
        assert_eq!(interest.places[&SERVER].classes.len() as u64, COUNT + 3);
        assert_eq!(collected(&store, &mut interest, READERS, 0).len() as u64, COUNT + 3);
    }
}
