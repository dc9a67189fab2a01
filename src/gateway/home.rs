//! Presence of the users whose home this core is (user id modulo number of cores).
//!
//! Only the home knows all live sessions of a user, so it alone decides when he is there, which session is one too
//! many, and what others are told. Cores report sessions coming and going by mail; whether a user is there is
//! published in a map that every core reads without waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::by_user::ByUser;
use super::session::Slot;
use super::survey::map_len;
use crate::domain::social::presence::{Liveness, visible_status};
use crate::domain::{Audience, Event, EventName, intent};
use crate::id::UserId;
use crate::limits::{PRESENCE_BURST, PRESENCE_INTERVAL_MS};
use crate::runtime::paged::PagedSlab;
use crate::runtime::shared_map::{Reader, Writer};
use crate::store::Read;
use crate::store::records::{ArchivedUser, status};
use crate::store::tables::{PRESENCES, USERS};
use crate::wire::json::Object;

/// Reads who is there, for any core. One reader per home core.
#[derive(Clone)]
pub struct Liveboard(pub Vec<Reader>);

impl Liveboard {
    pub fn get(&self, user_id: UserId) -> Liveness {
        self.entry(user_id).map_or(Liveness::default(), decode)
    }

    /// Whether the user has a session with a connection right now.
    pub(super) fn is_connected(&self, user_id: UserId) -> bool {
        self.entry(user_id).is_some_and(|value| value & 4 != 0)
    }

    fn entry(&self, user_id: UserId) -> Option<u64> {
        let home = (user_id.0 % self.0.len() as u64) as usize;
        self.0[home].get(user_id.0)
    }
}

/// Millisecond of leaving << 3 | connected << 2 | online << 1 | 1, never 0.
fn encode(liveness: Liveness, connected: bool) -> u64 {
    liveness.gone_at_ms << 3 | u64::from(connected) << 2 | u64::from(liveness.online) << 1 | 1
}

fn decode(value: u64) -> Liveness {
    Liveness { online: value & 2 != 0, gone_at_ms: value >> 3 }
}

/// A live session somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ref {
    pub core: u16,
    pub slot: Slot,
    /// Low bits of the connection's generation, so that a slot used again is another session.
    pub generation: u16,
}

/// A user who has sessions, or of whom others were told something. Whether he is online is in the live map.
struct Present {
    user_id: UserId,
    live: Live,
    /// Hash of what others were last told; 0 = offline.
    shown: u32,
    /// Live and detached sessions.
    session_count: u16,
    /// His entries in [`Home::checks`]: each loss of his last live session adds one, and only the last decides.
    check_count: u16,
}

// Paid by every user with a session.
const _: () = assert!(PagedSlab::<Present>::ENTRY_LEN <= 32);

/// Live sessions of a user, oldest READY first. Nearly all have one.
#[allow(clippy::box_collection, reason = "a thin pointer keeps the usual case small")]
enum Live {
    None,
    One(Ref),
    More(Box<Vec<Ref>>),
}

impl Live {
    fn refs(&self) -> &[Ref] {
        match self {
            Live::None => &[],
            Live::One(one) => std::slice::from_ref(one),
            Live::More(all) => all,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Live::None)
    }

    fn push(&mut self, session: Ref) {
        match self {
            Live::None => *self = Live::One(session),
            Live::One(one) => *self = Live::More(Box::new(vec![*one, session])),
            Live::More(all) => all.push(session),
        }
    }

    fn remove(&mut self, index: usize) -> Ref {
        match self {
            Live::More(all) => {
                let gone = all.remove(index);
                if let [one] = all[..] {
                    *self = Live::One(one);
                }
                gone
            }
            _ => match std::mem::replace(self, Live::None) {
                Live::One(one) if index == 0 => one,
                _ => unreachable!("the index was found in `refs`"),
            },
        }
    }
}

/// Bots may have as many sessions as they like.
fn is_bot(read: Read<'_>, user_id: UserId) -> bool {
    read.get(USERS, user_id).is_some_and(ArchivedUser::is_bot)
}

/// What others are told of a user.
struct Shown<'a> {
    status: u8,
    custom_status: Option<&'a str>,
    custom_emoji: Option<&'a str>,
}

pub struct Home {
    present: PagedSlab<Present>,
    users: ByUser,
    /// Users to look at again, by time: after the grace, and when a status set over REST lapses.
    checks: VecDeque<(u64, UserId)>,
    lapses: VecDeque<(u64, UserId)>,
    /// Users who have changed their presence of late.
    paces: FxHashMap<UserId, Pace>,
    /// Their next looks: what was held back is told, and who rests is forgotten.
    paced: VecDeque<(u64, UserId)>,
    /// Entries of the live map that can be forgotten at that time.
    forgets: VecDeque<(u64, UserId)>,
    live: Writer,
    offline_grace_ms: u64,
    rest_timeout_ms: u64,
    connections_max: usize,
}

/// A change of presence may reach everybody of 2,000 servers, so how often one user causes that is bounded.
struct Pace {
    /// Theoretical arrival time of his next change (GCRA).
    allowed_ms: u64,
    /// A change was held back.
    is_held: bool,
}

/// What a change at home leads to.
#[derive(Default)]
pub struct Effects {
    pub events: Vec<Arc<Event>>,
    /// Sessions to close because the user has too many.
    pub evicted: Vec<Ref>,
    /// First session of a user whose stored status is `offline`: it becomes `online`.
    pub came_back: Option<UserId>,
    /// Users without any session, live or detached.
    pub gone: Vec<UserId>,
}

impl Home {
    pub fn new(live: Writer, offline_grace_ms: u64, rest_timeout_ms: u64, connections_max: usize) -> Home {
        Home {
            present: PagedSlab::default(),
            users: ByUser::default(),
            checks: VecDeque::new(),
            lapses: VecDeque::new(),
            paces: FxHashMap::default(),
            paced: VecDeque::new(),
            forgets: VecDeque::new(),
            live,
            offline_grace_ms,
            rest_timeout_ms,
            connections_max,
        }
    }

    /// Users who are there, or of whom others were told something.
    pub fn present_count(&self) -> usize {
        self.users.len()
    }

    /// Bytes of users and of the times to look at them again.
    pub fn state_len(&self) -> usize {
        let lists = [&self.checks, &self.lapses, &self.forgets, &self.paced];
        let queued: usize = lists.into_iter().map(VecDeque::capacity).sum();
        self.present.index_end() * PagedSlab::<Present>::ENTRY_LEN
            + map_len::<u32, ()>(self.users.len())
            + map_len::<UserId, Pace>(self.paces.capacity())
            + queued * size_of::<(u64, UserId)>()
    }

    pub fn rest_timeout_ms(&self) -> u64 {
        self.rest_timeout_ms
    }

    /// A session became live: by IDENTIFY (`new`) or by RESUME.
    pub fn up(&mut self, read: Read<'_>, now_ms: u64, user_id: UserId, session: Ref, new: bool) -> Effects {
        let mut effects = Effects::default();
        let connections_max = self.connections_max;
        let present = self.get_or_insert(user_id);
        let first = present.live.is_empty();
        present.live.push(session);
        present.session_count = present.session_count.saturating_add(u16::from(new));
        while connections_max > 0 && present.live.refs().len() > connections_max && !is_bot(read, user_id) {
            effects.evicted.push(present.live.remove(0));
        }
        if first {
            let before = self.live.insert(user_id.0, encode(Liveness { online: true, gone_at_ms: 0 }, true));
            let was_online = before.is_some_and(|value| decode(value).online);
            let offline = read.get(PRESENCES, user_id).is_some_and(|stored| stored.status == status::OFFLINE);
            effects.came_back = (new && offline).then_some(user_id);
            if was_online {
                return effects;
            }
            self.announce(read, now_ms, user_id, &mut effects);
        }
        effects
    }

    /// A session is live that began in a hub that is no more: what others are to see of its user they were told there.
    pub fn taken_over(&mut self, read: Read<'_>, now_ms: u64, user_id: UserId, session: Ref) {
        let liveness = Liveness { online: true, gone_at_ms: 0 };
        self.live.insert(user_id.0, encode(liveness, true));
        let hash = hash(&shown(read, now_ms, user_id, liveness, self.rest_timeout_ms));
        let present = self.get_or_insert(user_id);
        present.live.push(session);
        present.session_count = present.session_count.saturating_add(1);
        present.shown = hash;
    }

    /// A session lost its connection. It may be resumed, so nothing is said before the grace is over.
    pub fn down(&mut self, now_ms: u64, user_id: UserId, session: Ref) {
        let Some(present) = self.get_mut(user_id) else { return };
        let Some(index) = present.live.refs().iter().position(|live| *live == session) else { return };
        present.live.remove(index);
        if present.live.is_empty() {
            present.check_count = present.check_count.saturating_add(1);
            self.live.insert(user_id.0, encode(Liveness { online: true, gone_at_ms: 0 }, false));
            self.checks.push_back((now_ms + self.offline_grace_ms, user_id));
        }
    }

    /// A session can no longer be resumed; `session` names it when it was still live.
    pub fn ended(&mut self, now_ms: u64, user_id: UserId, session: Option<Ref>) -> Effects {
        let mut effects = Effects::default();
        if let Some(session) = session {
            self.down(now_ms, user_id, session);
        }
        let Some(present) = self.get_mut(user_id) else { return effects };
        present.session_count = present.session_count.saturating_sub(1);
        if present.session_count == 0 {
            effects.gone.push(user_id);
        }
        self.drop_if_absent(user_id);
        effects
    }

    /// Whether a user has a session, live or detached, on any core.
    pub fn has_session(&self, user_id: UserId) -> bool {
        let present = &self.present;
        let index = self.users.get(user_id, |index| present[index as usize].user_id);
        index.is_some_and(|index| present[index as usize].session_count > 0)
    }

    /// The stored presence changed. Set over REST it counts for a while without a session. Who changes it all the
    /// time is told of less often, and late; the last change always.
    pub fn stored(&mut self, read: Read<'_>, now_ms: u64, user_id: UserId) -> Effects {
        let mut effects = Effects::default();
        let rest_at = read.get(PRESENCES, user_id).map_or(0, |stored| stored.rest_at.to_native());
        if now_ms.saturating_sub(rest_at) < self.rest_timeout_ms {
            self.lapses.push_back((now_ms + self.rest_timeout_ms, user_id));
        }
        if self.may_tell(now_ms, user_id) {
            self.announce(read, now_ms, user_id, &mut effects);
        }
        effects
    }

    /// Takes from a user's allowance of changes; when it is used up, he is looked at again later.
    fn may_tell(&mut self, now_ms: u64, user_id: UserId) -> bool {
        let pace = self.paces.entry(user_id).or_insert_with(|| {
            self.paced.push_back((now_ms + PRESENCE_INTERVAL_MS, user_id));
            Pace { allowed_ms: now_ms, is_held: false }
        });
        let start = pace.allowed_ms.max(now_ms);
        pace.is_held = start - now_ms > PRESENCE_INTERVAL_MS * (PRESENCE_BURST - 1);
        if !pace.is_held {
            pace.allowed_ms = start + PRESENCE_INTERVAL_MS;
        }
        !pace.is_held
    }

    /// Looks at users who have changed their presence of late: one entry each, once per interval.
    fn tell_held(&mut self, read: Read<'_>, now_ms: u64, count_max: usize, effects: &mut Effects) {
        for _ in 0..count_max {
            let Some((_, user_id)) = self.paced.pop_front_if(|(due, _)| *due <= now_ms) else { break };
            let Some(pace) = self.paces.get_mut(&user_id) else { continue };
            let is_held = std::mem::take(&mut pace.is_held);
            if !is_held && pace.allowed_ms <= now_ms {
                self.paces.remove(&user_id);
                continue;
            }
            self.paced.push_back((now_ms + PRESENCE_INTERVAL_MS, user_id));
            if is_held && self.may_tell(now_ms, user_id) {
                self.announce(read, now_ms, user_id, effects);
            }
        }
    }

    /// Whether somebody's time has come.
    pub fn has_due(&self, now_ms: u64) -> bool {
        let lists = [&self.checks, &self.lapses, &self.forgets, &self.paced];
        lists.into_iter().any(|list| list.front().is_some_and(|(due, _)| *due <= now_ms))
    }

    /// Looks at users whose time has come, `count_max` of each kind at most.
    pub fn tick(&mut self, read: Read<'_>, now_ms: u64, count_max: usize) -> Effects {
        let mut effects = Effects::default();
        for _ in 0..count_max {
            let Some((_, user_id)) = self.checks.pop_front_if(|(due, _)| *due <= now_ms) else { break };
            let Some(present) = self.get_mut(user_id) else { continue };
            present.check_count = present.check_count.saturating_sub(1);
            // He may have been back and left again since: another check follows for that.
            let over = present.live.is_empty() && present.check_count == 0;
            if over && self.is_online(user_id) {
                self.live.insert(user_id.0, encode(Liveness { online: false, gone_at_ms: now_ms }, false));
                self.forgets.push_back((now_ms + self.rest_timeout_ms, user_id));
                self.announce(read, now_ms, user_id, &mut effects);
                self.drop_if_absent(user_id);
            }
        }
        for _ in 0..count_max {
            let Some((_, user_id)) = self.lapses.pop_front_if(|(due, _)| *due <= now_ms) else { break };
            self.announce(read, now_ms, user_id, &mut effects);
            self.drop_if_absent(user_id);
        }
        self.tell_held(read, now_ms, count_max, &mut effects);
        // Once a status set over REST could no longer be younger than the leaving, the time of leaving is moot.
        for _ in 0..count_max {
            let Some((_, user_id)) = self.forgets.pop_front_if(|(due, _)| *due <= now_ms) else { break };
            let gone = self.live.get(user_id.0).map(decode);
            if gone.is_some_and(|live| !live.online && live.gone_at_ms + self.rest_timeout_ms <= now_ms) {
                self.live.remove(user_id.0);
            }
        }
        effects
    }

    fn drop_if_absent(&mut self, user_id: UserId) {
        let user_of = |index: u32| self.present[index as usize].user_id;
        let Some(index) = self.users.get(user_id, user_of) else { return };
        let present = &self.present[index as usize];
        let is_known = present.session_count > 0 || !present.live.is_empty() || present.shown != 0;
        if !is_known && !self.is_online(user_id) {
            self.users.remove(user_id, user_of);
            self.present.remove(index as usize);
        }
    }

    fn is_online(&self, user_id: UserId) -> bool {
        self.live.get(user_id.0).is_some_and(|value| decode(value).online)
    }

    fn get_mut(&mut self, user_id: UserId) -> Option<&mut Present> {
        let present = &self.present;
        let index = self.users.get(user_id, |index| present[index as usize].user_id)?;
        self.present.get_mut(index as usize)
    }

    fn get_or_insert(&mut self, user_id: UserId) -> &mut Present {
        let present = &self.present;
        let user_of = |index: u32| present[index as usize].user_id;
        let index = self.users.get(user_id, user_of).unwrap_or_else(|| {
            let index = present.next_index() as u32;
            self.users.insert(user_id, index, user_of);
            index
        });
        if !self.present.contains(index as usize) {
            let live = Live::None;
            self.present.insert(Present { user_id, live, shown: 0, session_count: 0, check_count: 0 });
        }
        &mut self.present[index as usize]
    }

    /// Tells others when what they may see is not what they were last told.
    fn announce(&mut self, read: Read<'_>, now_ms: u64, user_id: UserId, effects: &mut Effects) {
        let liveness = self.live.get(user_id.0).map_or(Liveness::default(), decode);
        let shown = shown(read, now_ms, user_id, liveness, self.rest_timeout_ms);
        let hash = hash(&shown);
        let present = self.get_or_insert(user_id);
        if present.shown == hash {
            self.drop_if_absent(user_id);
            return;
        }
        present.shown = hash;
        effects.events.push(Arc::new(event(user_id, &shown)));
    }
}

fn shown(
    read: Read<'_>,
    now_ms: u64,
    user_id: UserId,
    liveness: Liveness,
    rest_timeout_ms: u64,
) -> Shown<'_> {
    let stored = read.get(PRESENCES, user_id);
    let visible = visible_status(stored, liveness, now_ms, rest_timeout_ms);
    let stored = stored.filter(|_| visible != status::OFFLINE);
    Shown {
        status: visible,
        custom_status: stored.and_then(|stored| stored.custom_status.as_deref()),
        custom_emoji: stored.and_then(|stored| stored.custom_emoji.as_deref()),
    }
}

/// 0 for offline, else something that differs when anything shown differs.
fn hash(shown: &Shown<'_>) -> u32 {
    use std::hash::{Hash, Hasher};
    if shown.status == status::OFFLINE {
        return 0;
    }
    let mut hasher = rustc_hash::FxHasher::default();
    (shown.status, shown.custom_status, shown.custom_emoji).hash(&mut hasher);
    (hasher.finish() >> 32) as u32 | 1
}

fn event(user_id: UserId, shown: &Shown<'_>) -> Event {
    let mut payload = Vec::new();
    {
        let mut object = Object::new(&mut payload);
        object.id("user_id", user_id.0).str("status", status::text(shown.status));
        object.opt_str("custom_status", shown.custom_status).opt_str("custom_emoji", shown.custom_emoji);
    }
    let audience = Audience::Acquaintances(user_id);
    Event::new(EventName::PresenceUpdate, intent::GUILD_PRESENCES, audience, payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shared_map::shared_map;
    use crate::store::Store;
    use crate::store::records::Presence;
    use crate::store::tests::temporary;

    const USER: UserId = UserId(5);

    fn session(slot: u32) -> Ref {
        Ref { core: 0, slot: Slot(slot), generation: 0 }
    }

    fn home() -> (Home, Liveboard) {
        let (writer, reader) = shared_map(16);
        (Home::new(writer, 10_000, 300_000, 2), Liveboard(vec![reader]))
    }

    fn store(store: &Store, status: u8, rest_at: u64) {
        let mut tx = store.begin().unwrap();
        tx.put(PRESENCES, USER, &Presence { status, rest_at, ..Presence::default() });
        tx.commit().unwrap();
    }

    fn statuses(effects: &Effects) -> Vec<String> {
        let text = |event: &Arc<Event>| String::from_utf8(event.payload.to_vec()).unwrap();
        effects.events.iter().map(|event| text(event).split('"').nth(7).unwrap().to_string()).collect()
    }

    #[test]
    fn online_once_and_offline_after_the_grace() {
        let (_folder, stored) = temporary(1 << 24);
        let (mut home, board) = home();
        let snapshot = stored.snapshot();
        let read = snapshot.read();
        assert_eq!(statuses(&home.up(read, 0, USER, session(1), true)), ["online"]);
        assert_eq!(statuses(&home.up(read, 0, USER, session(2), true)), [""; 0]);
        assert!(board.get(USER).online);
        assert!(board.is_connected(USER));
        home.down(1_000, USER, session(1));
        assert_eq!(statuses(&home.tick(read, 20_000, 9)), [""; 0]);
        home.down(21_000, USER, session(2));
        assert_eq!(statuses(&home.tick(read, 30_000, 9)), [""; 0]);
        assert_eq!(statuses(&home.up(read, 30_500, USER, session(3), false)), [""; 0]);
        home.down(39_000, USER, session(3));
        assert!(board.get(USER).online && !board.is_connected(USER));
        home.up(read, 39_500, USER, session(3), false);
        home.down(45_000, USER, session(3));
        // The check of the loss at 39 s is due, but he has left for 4 s only.
        assert_eq!(statuses(&home.tick(read, 49_000, 9)), [""; 0]);
        home.up(read, 49_500, USER, session(3), false);
        home.down(50_000, USER, session(3));
        assert_eq!(statuses(&home.tick(read, 60_000, 9)), ["offline"]);
        assert_eq!(board.get(USER), Liveness { online: false, gone_at_ms: 60_000 });
        assert!(home.ended(60_000, USER, None).gone.is_empty());
        assert_eq!(home.ended(60_000, USER, None).gone, [USER]);
        assert!(home.users.len() == 0 && home.present.is_empty());
        home.tick(read, 400_000, 9);
        assert_eq!(board.get(USER), Liveness::default());
    }

    #[test]
    fn the_oldest_of_too_many_goes() {
        let (_folder, stored) = temporary(1 << 24);
        let (mut home, _) = home();
        let snapshot = stored.snapshot();
        for slot in [1, 2] {
            assert!(home.up(snapshot.read(), 0, USER, session(slot), true).evicted.is_empty());
        }
        assert_eq!(home.up(snapshot.read(), 0, USER, session(3), true).evicted, [session(1)]);
    }

    #[test]
    fn stored_status_is_shown_and_repeats_are_not() {
        let (_folder, stored) = temporary(1 << 24);
        let (mut home, _) = home();
        home.up(stored.snapshot().read(), 0, USER, session(1), true);
        store(&stored, status::DND, 0);
        assert_eq!(statuses(&home.stored(stored.snapshot().read(), 1_000_000, USER)), ["dnd"]);
        assert_eq!(statuses(&home.stored(stored.snapshot().read(), 1_000_000, USER)), [""; 0]);
        store(&stored, status::INVISIBLE, 0);
        assert_eq!(statuses(&home.stored(stored.snapshot().read(), 1_000_000, USER)), ["offline"]);
    }

    #[test]
    fn who_changes_all_the_time_is_told_of_less_often_and_last_of_all_as_he_is() {
        let (_folder, stored) = temporary(1 << 24);
        let (mut home, _) = home();
        home.up(stored.snapshot().read(), 0, USER, session(1), true);
        let mut told = Vec::new();
        // Ten a second, for ten seconds.
        for step in 1..=100u64 {
            let now = 1_000 + step * 100;
            store(&stored, if step % 2 == 0 { status::DND } else { status::IDLE }, 0);
            told.extend(statuses(&home.stored(stored.snapshot().read(), now, USER)));
            told.extend(statuses(&home.tick(stored.snapshot().read(), now, 9)));
        }
        assert!((10..=20).contains(&told.len()), "{}", told.len());
        store(&stored, status::ONLINE, 0);
        told.extend(statuses(&home.stored(stored.snapshot().read(), 11_050, USER)));
        for now in (11_100..14_000).step_by(100) {
            told.extend(statuses(&home.tick(stored.snapshot().read(), now, 9)));
        }
        assert_eq!(told.last().map(String::as_str), Some("online"));
        // Who rests is forgotten.
        for now in (14_000..40_000).step_by(100) {
            home.tick(stored.snapshot().read(), now, 9);
        }
        assert!(home.paces.is_empty() && home.paced.is_empty());
    }

    #[test]
    fn a_status_set_over_rest_lapses() {
        let (_folder, stored) = temporary(1 << 24);
        let (mut home, _) = home();
        store(&stored, status::IDLE, 1_000_000);
        assert_eq!(statuses(&home.stored(stored.snapshot().read(), 1_000_000, USER)), ["idle"]);
        assert_eq!(statuses(&home.tick(stored.snapshot().read(), 1_299_999, 9)), [""; 0]);
        assert_eq!(statuses(&home.tick(stored.snapshot().read(), 1_300_000, 9)), ["offline"]);
        assert!(home.users.len() == 0 && home.present.is_empty());
    }
}
