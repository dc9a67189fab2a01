//! A hashed timer wheel for millions of coarse deadlines (heartbeats, resume windows, typing).
//!
//! Owns: entries of 16 bytes, linked into a ring of slots by index; freed entries are reused.
//! Invariants:
//! - An entry fires once, never before its deadline, and at most one granularity plus the caller's own
//!   delay after it. Within one [`Wheel::advance`] the order is unspecified.
//! - There is no cancel: the caller puts a generation into `tag` and ignores what is out of date, or
//!   answers with the new deadline. A heartbeat that only moves a deadline then costs the wheel nothing:
//!   the entry looks, when it fires, how far the deadline has moved, and goes there.
//!
//! Insert is O(1). Advance visits each slot passed; an entry further away than one round
//! (slots × granularity) is looked at once per round.
//! Memory: 16 bytes per entry and 4 per slot.

use super::paged::Pages;

/// `u32::MAX` ends a list.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Default)]
struct Entry {
    key: u32,
    tag: u32,
    /// First tick at which the deadline has passed.
    tick: u32,
    next: u32,
}

const _: () = assert!(size_of::<Entry>() == 16);

pub struct Wheel {
    granularity_ms: u64,
    /// Tick 0; ticks fit 32 bits for 13 years at 100 ms.
    origin_ms: u64,
    /// Everything up to and including this tick has fired.
    tick: u32,
    slots: Box<[u32]>,
    entries: Pages<Entry>,
    free: u32,
    /// Entries from here on were never used.
    end: u32,
    count: usize,
}

impl Wheel {
    /// `granularity_ms` ≥ 1, as a rule 100 to 1,000; `slot_count` is rounded up to a power of two and should
    /// span the usual deadline: 1,024 slots of 100 ms are 102 s.
    pub fn new(now_ms: u64, granularity_ms: u64, slot_count: usize) -> Self {
        assert!(granularity_ms > 0, "a tick takes time");
        Self {
            granularity_ms,
            origin_ms: now_ms,
            tick: 0,
            slots: vec![NONE; slot_count.max(1).next_power_of_two()].into_boxed_slice(),
            entries: Pages::default(),
            free: NONE,
            end: 0,
            count: 0,
        }
    }

    /// Entries waiting, outdated ones included.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lets `(key, tag)` fire once `now_ms` has reached `deadline_ms`. A deadline in the past fires at the
    /// next tick.
    pub fn insert(&mut self, deadline_ms: u64, key: u32, tag: u32) {
        let tick = self.tick_of(deadline_ms);
        let index = match self.free {
            NONE => {
                assert!(self.end < NONE, "indexes are 32 bits");
                if self.end as usize == self.entries.len() {
                    self.entries.grow();
                }
                self.end += 1;
                self.end - 1
            }
            index => {
                self.free = self.entries[index as usize].next;
                index
            }
        };
        self.entries[index as usize] = Entry { key, tag, tick, next: NONE };
        self.count += 1;
        self.link(index);
    }

    /// Fires everything due at `now_ms`: `fire(key, tag)` answers `None` (done) or the next deadline in ms,
    /// for which the entry stays. A time before the last one does nothing.
    pub fn advance(&mut self, now_ms: u64, mut fire: impl FnMut(u32, u32) -> Option<u64>) {
        let elapsed = now_ms.saturating_sub(self.origin_ms) / self.granularity_ms;
        let target = u32::try_from(elapsed).unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
        if target <= self.tick {
            return;
        }
        let passed = (target - self.tick).min(self.slots.len() as u32);
        let first = self.tick + 1;
        // Re-armed entries go behind `target`, so no slot list is walked for ever.
        self.tick = target;
        for tick in first..first + passed {
            let slot = tick as usize & (self.slots.len() - 1);
            let mut index = std::mem::replace(&mut self.slots[slot], NONE);
            while index != NONE {
                let Entry { key, tag, tick, next } = self.entries[index as usize];
                if tick > target {
                    self.link(index);
                } else if let Some(deadline_ms) = fire(key, tag) {
                    self.entries[index as usize].tick = self.tick_of(deadline_ms);
                    self.link(index);
                } else {
                    self.entries[index as usize].next = self.free;
                    self.free = index;
                    self.count -= 1;
                }
                index = next;
            }
        }
    }

    /// Rounded up, so never early; after the current tick, so never missed.
    fn tick_of(&self, deadline_ms: u64) -> u32 {
        let ticks = deadline_ms.saturating_sub(self.origin_ms).div_ceil(self.granularity_ms);
        u32::try_from(ticks).unwrap_or(u32::MAX).max(self.tick.saturating_add(1))
    }

    fn link(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let head = &mut self.slots[entry.tick as usize & (self.slots.len() - 1)];
        entry.next = *head;
        *head = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn fired(wheel: &mut Wheel, now_ms: u64) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.advance(now_ms, |key, _| {
            keys.push(key);
            None
        });
        keys.sort_unstable();
        keys
    }

    #[test]
    fn fires_once_and_never_early() {
        let mut wheel = Wheel::new(1_000, 100, 4);
        wheel.insert(1_050, 1, 0);
        wheel.insert(1_100, 2, 0);
        wheel.insert(1_101, 3, 0);
        wheel.insert(0, 4, 0);
        wheel.insert(9_000, 5, 0);
        assert!(fired(&mut wheel, 1_099).is_empty());
        assert_eq!(fired(&mut wheel, 1_100), [1, 2, 4]);
        assert!(fired(&mut wheel, 1_199).is_empty());
        assert_eq!(fired(&mut wheel, 1_200), [3]);
        assert!(fired(&mut wheel, 500).is_empty());
        assert!(fired(&mut wheel, 8_999).is_empty());
        assert_eq!(wheel.count(), 1);
        assert_eq!(fired(&mut wheel, 1_000_000), [5]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn an_answer_moves_the_entry() {
        let mut wheel = Wheel::new(0, 100, 8);
        wheel.insert(100, 9, 7);
        let mut times = Vec::new();
        for now in (0..2_000).step_by(50) {
            wheel.advance(now, |key, tag| {
                assert_eq!((key, tag), (9, 7));
                times.push(now);
                (times.len() < 3).then_some(now + 450)
            });
        }
        assert_eq!(times, [100, 600, 1_100]);
        // A new deadline in the past waits for the next tick instead of looping.
        wheel.insert(0, 1, 0);
        let mut count = 0;
        wheel.advance(5_000, |_, _| {
            count += 1;
            Some(0)
        });
        assert_eq!((count, wheel.count()), (1, 1));
    }

    /// Against a sorted map, with random inserts, jumps and moves.
    #[test]
    fn agrees_with_a_sorted_map() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let granularity = random.u64(1..200);
            let mut now = random.u64(0..1 << 40);
            let origin = now;
            let mut wheel = Wheel::new(now, granularity, 1 << random.u32(0..7));
            // (tick, key) -> (): the tick from which on it must have fired
            let mut model = BTreeMap::new();
            let mut tick = 0;
            let place = |deadline: u64, tick: u64| {
                deadline.saturating_sub(origin).div_ceil(granularity).max(tick + 1)
            };
            for key in 0..400u32 {
                let deadline = (now + random.u64(0..20_000)).saturating_sub(500);
                wheel.insert(deadline, key, !key);
                model.insert((place(deadline, tick), key), ());
                if random.u32(0..4) == 0 {
                    now += if random.u32(0..20) == 0 { random.u64(0..50_000) } else { random.u64(0..300) };
                    tick = tick.max((now - origin) / granularity);
                    let later = model.split_off(&(tick + 1, 0));
                    let mut want: Vec<u32> = model.keys().map(|&(_, key)| key).collect();
                    model = later;
                    let mut got = Vec::new();
                    wheel.advance(now, |key, tag| {
                        assert_eq!(tag, !key);
                        got.push(key);
                        (key % 5 == 0).then_some(now + 1_000)
                    });
                    got.sort_unstable();
                    want.sort_unstable();
                    assert_eq!(got, want, "seed {seed}");
                    for key in got.into_iter().filter(|key| key % 5 == 0) {
                        model.insert((place(now + 1_000, tick), key), ());
                    }
                }
            }
            assert_eq!(wheel.count(), model.len(), "seed {seed}");
        }
    }
}
