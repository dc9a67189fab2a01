//! Which sessions of this core are in which server, and what they may see there.
//!
//! Members with the same roles have the same permissions: they share a *class*. What a class may do in a channel is
//! computed once and dropped when roles or overrides of the server change; a change of one member's roles moves one
//! entry to another class. So neither an event nor a change costs anything per member that it does not concern.
//!
//! Memory: 8 bytes per session and server. Growth: an event visits the entries of its server once.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::domain::permission::{self, ALL};
use crate::id::{ChannelId, RoleId, ServerId, UserId};
use crate::store::Read;
use crate::store::records::ArchivedServer;
use crate::store::tables::{MEMBERS, OVERRIDES, SERVERS};

/// A session's place in a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    slot: u32,
    class: u16,
    intents: u16,
}

const _: () = assert!(size_of::<Entry>() == 8);

/// Members with the same roles.
#[derive(Debug)]
struct Class {
    owner: bool,
    /// Sorted.
    roles: SmallVec<[RoleId; 4]>,
    /// Server-wide permissions; `None` until needed.
    permissions: Option<u64>,
}

#[derive(Debug, Default)]
struct Place {
    entries: Vec<Entry>,
    /// How many entries ask for each intent bit: an event that nobody wants costs one look, however large the
    /// server. Every session that comes announces a presence; without this a reconnect of all would be quadratic.
    wanted: [u32; 16],
    classes: Vec<Class>,
    /// Permissions of each class in a channel, as far as computed.
    channels: FxHashMap<ChannelId, Masks>,
}

#[derive(Debug, Default)]
struct Masks {
    by_class: Vec<u64>,
    /// Some member has an override of his own: classes do not decide, members do.
    personal: bool,
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
    pub fn add(&mut self, read: Read<'_>, server_id: ServerId, user_id: UserId, slot: u32, intents: u16) {
        let place = self.places.entry(server_id).or_default();
        let class = class_of(place, read, server_id, user_id);
        place.entries.push(Entry { slot, class, intents });
        self.entry_count += 1;
        bits(intents).for_each(|bit| place.wanted[bit] += 1);
    }

    pub fn remove(&mut self, server_id: ServerId, slot: u32) {
        let Some(place) = self.places.get_mut(&server_id) else { return };
        if let Some(index) = place.entries.iter().position(|entry| entry.slot == slot) {
            let gone = place.entries.swap_remove(index);
            self.entry_count -= 1;
            bits(gone.intents).for_each(|bit| place.wanted[bit] -= 1);
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
    pub fn member_changed(&mut self, read: Read<'_>, server_id: ServerId, user_id: UserId, slots: &[u32]) {
        let Some(place) = self.places.get_mut(&server_id) else { return };
        if slots.is_empty() {
            return;
        }
        let class = class_of(place, read, server_id, user_id);
        for entry in place.entries.iter_mut().filter(|entry| slots.contains(&entry.slot)) {
            entry.class = class;
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
        user_of: impl Fn(u32) -> UserId,
        out: &mut Vec<u32>,
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
                if channel_masks(place, read, server_id, channel_id).personal {
                    return collect_personal(
                        place, read, server_id, channel_id, all_of, intent, user_of, out,
                    );
                }
                let masks = &place.channels[&channel_id];
                masks.by_class.iter().map(|bits| bits & all_of == all_of).collect()
            }
        };
        collect_allowed(&place.entries, &allowed, intent, out);
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

/// Numbers of the bits that are set.
fn bits(intents: u16) -> impl Iterator<Item = usize> {
    (0..16).filter(move |bit| intents & 1 << bit != 0)
}

fn wants(entry: &Entry, intent: u16) -> bool {
    intent == 0 || entry.intents & intent != 0
}

/// The inner loop of every fan-out.
fn collect_allowed(entries: &[Entry], allowed: &[bool], intent: u16, out: &mut Vec<u32>) {
    out.reserve(entries.len());
    for entry in entries {
        if wants(entry, intent) && allowed.get(entry.class as usize) == Some(&true) {
            out.push(entry.slot);
        }
    }
}

/// The slow path for channels with overrides of single members.
#[cold]
#[allow(clippy::too_many_arguments)]
fn collect_personal(
    place: &mut Place,
    read: Read<'_>,
    server_id: ServerId,
    channel_id: ChannelId,
    all_of: u64,
    intent: u16,
    user_of: impl Fn(u32) -> UserId,
    out: &mut Vec<u32>,
) {
    let Some(server) = read.get(SERVERS, server_id) else { return };
    for index in 0..place.entries.len() {
        let entry = place.entries[index];
        if !wants(&entry, intent) || entry.class as usize >= place.classes.len() {
            continue;
        }
        let permissions = server_bits(place, read, server_id, entry.class as usize);
        let class = &place.classes[entry.class as usize];
        let bits = in_channel(read, channel_id, server, class, Some(user_of(entry.slot)), permissions);
        if bits & all_of == all_of {
            out.push(entry.slot);
        }
    }
}

fn class_of(place: &mut Place, read: Read<'_>, server_id: ServerId, user_id: UserId) -> u16 {
    let owner = read.get(SERVERS, server_id).is_some_and(|server| UserId::from(&server.owner_id) == user_id);
    // A member who left again within the batch has no record any more: nobody sees through an empty class.
    let mut roles: SmallVec<[RoleId; 4]> = read
        .get(MEMBERS, (server_id, user_id))
        .map_or_else(SmallVec::new, |member| member.role_ids().collect());
    roles.sort_unstable();
    let known = place.classes.iter().position(|class| class.owner == owner && class.roles == roles);
    let index = known.unwrap_or_else(|| {
        if place.classes.len() > 2 * place.entries.len() + CLASS_SPARE {
            drop_unused_classes(place);
        }
        if place.classes.len() < usize::from(NO_CLASS) {
            place.classes.push(Class { owner, roles, permissions: None });
            return place.classes.len() - 1;
        }
        usize::from(NO_CLASS)
    });
    index as u16
}

/// More than 65,535 role combinations of present sessions in one server on one core: the surplus gets no events,
/// which is safe.
const NO_CLASS: u16 = u16::MAX;

/// Classes that may be out of use before they are dropped.
const CLASS_SPARE: usize = 64;

/// Role combinations come and go; only those of present sessions are worth keeping.
#[cold]
fn drop_unused_classes(place: &mut Place) {
    let mut new_index = vec![NO_CLASS; place.classes.len()];
    let mut kept = 0;
    for entry in &mut place.entries {
        let Some(index) = new_index.get_mut(entry.class as usize) else { continue };
        if *index == NO_CLASS {
            *index = kept;
            kept += 1;
        }
        entry.class = *index;
    }
    let classes = std::mem::take(&mut place.classes).into_iter().zip(new_index);
    let mut used: Vec<(u16, Class)> =
        classes.filter(|(_, index)| *index != NO_CLASS).map(|(class, index)| (index, class)).collect();
    used.sort_unstable_by_key(|(index, _)| *index);
    place.classes = used.into_iter().map(|(_, class)| class).collect();
    place.channels.clear();
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

/// Permissions of all classes in a channel, computed as far as they are missing.
fn channel_masks<'p>(
    place: &'p mut Place,
    read: Read<'_>,
    server_id: ServerId,
    channel_id: ChannelId,
) -> &'p Masks {
    let mut masks = place.channels.remove(&channel_id).unwrap_or_else(|| Masks {
        personal: read.scan(OVERRIDES, channel_id).any(|((_, kind, _), _)| kind != 0),
        by_class: Vec::new(),
    });
    if let Some(server) = read.get(SERVERS, server_id) {
        for index in masks.by_class.len()..place.classes.len() {
            let permissions = server_bits(place, read, server_id, index);
            masks.by_class.push(in_channel(
                read,
                channel_id,
                server,
                &place.classes[index],
                None,
                permissions,
            ));
        }
    }
    masks.by_class.resize(place.classes.len(), 0);
    place.channels.entry(channel_id).or_insert(masks)
}

fn in_channel(
    read: Read<'_>,
    channel_id: ChannelId,
    server: &ArchivedServer,
    class: &Class,
    user_id: Option<UserId>,
    permissions: u64,
) -> u64 {
    if class.owner {
        return ALL;
    }
    let everyone = RoleId::from(&server.everyone_role_id);
    permission::with_overrides(read, channel_id, everyone, &class.roles, user_id, permissions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permission::{CHANNELS_VIEW, EVERYONE_DEFAULT, MESSAGES_READ};
    use crate::store::records::{Member, Override, Role, Server};
    use crate::store::tables::ROLES;
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
            interest.add(snapshot.read(), SERVER, UserId(slot.into()), slot, 1 << (slot - 100));
        }
        (folder, store, interest)
    }

    fn collected(store: &Store, interest: &mut Interest, filter: Filter, intent: u16) -> Vec<u32> {
        let mut out = Vec::new();
        let snapshot = store.snapshot();
        interest.collect(snapshot.read(), SERVER, filter, intent, |slot| UserId(slot.into()), &mut out);
        out.sort_unstable();
        out
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
        interest.member_changed(store.snapshot().read(), SERVER, UserId(101), &[101]);
        assert_eq!(collected(&store, &mut interest, READERS, 0), [100, 101, 102]);
        interest.remove(SERVER, 102);
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
            interest.member_changed(store.snapshot().read(), SERVER, UserId(101), &[101]);
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
        interest.remove(SERVER, 101);
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
}
