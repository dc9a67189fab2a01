//! The handles of the events that a session was given, oldest first, in about a byte each.
//!
//! A handle is kept as its distance to the one before: a session in one of twenty busy servers of a core sees about
//! every twentieth event. Seven bits per byte, low ones first, all but the last byte of a distance with the top bit
//! set (LEB128), which reads in both directions. Distances below 128 take one byte, below 16,384 two.

use super::replay::Handle;

#[derive(Default)]
pub struct Trail {
    /// Distances; from `head` on they count.
    bytes: Vec<u8>,
    head: u32,
    /// The newest handle.
    last: Handle,
}

const MORE: u8 = 0x80;

impl Trail {
    /// Bytes it holds on the heap.
    pub fn heap_len(&self) -> usize {
        self.bytes.capacity()
    }

    /// Hot: once per delivery.
    pub fn push(&mut self, handle: Handle) {
        if self.bytes.len() == self.bytes.capacity() {
            self.make_room();
        }
        let mut distance = handle.wrapping_sub(self.last);
        self.last = handle;
        while distance >= u32::from(MORE) {
            self.bytes.push(distance as u8 | MORE);
            distance >>= 7;
        }
        self.bytes.push(distance as u8);
    }

    /// The `count` handles behind the newest.
    pub fn push_next(&mut self, count: u32) {
        if self.bytes.len() + count as usize > self.bytes.capacity() {
            self.make_room();
        }
        self.bytes.resize(self.bytes.len() + count as usize, 1);
        self.last = self.last.wrapping_add(count);
    }

    /// Uses the place of what is gone before it asks for more.
    #[cold]
    fn make_room(&mut self) {
        let head = self.head as usize;
        if head > 0 && head >= self.bytes.len() / 4 {
            self.bytes.drain(..head);
            self.head = 0;
        }
    }

    /// Forgets the oldest. There must be one.
    pub fn pop_front(&mut self) {
        while self.bytes[self.head as usize] & MORE != 0 {
            self.head += 1;
        }
        self.head += 1;
        if self.head as usize == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        }
    }

    /// Gives memory back that is no longer used.
    pub fn shrink(&mut self) {
        let len = self.bytes.len() - self.head as usize;
        if self.bytes.capacity() > 4 * len.max(8) {
            self.bytes.drain(..self.head as usize);
            self.head = 0;
            self.bytes.shrink_to(2 * len);
        }
    }

    /// The newest `count`, oldest of them first. There must be as many.
    pub fn newest(&self, count: u32) -> Handles<'_> {
        let (mut at, mut next) = (self.bytes.len(), self.last);
        for _ in 1..count {
            let mut distance = 0u32;
            at -= 1;
            distance |= u32::from(self.bytes[at]);
            while at > self.head as usize && self.bytes[at - 1] & MORE != 0 {
                at -= 1;
                distance = distance << 7 | u32::from(self.bytes[at] & !MORE);
            }
            next = next.wrapping_sub(distance);
        }
        Handles { rest: &self.bytes[at..], next: (count > 0).then_some(next) }
    }
}

/// Handles from an old one to the newest.
pub struct Handles<'t> {
    /// The distances behind `next`.
    rest: &'t [u8],
    next: Option<Handle>,
}

impl Iterator for Handles<'_> {
    type Item = Handle;

    fn next(&mut self) -> Option<Handle> {
        let handle = self.next?;
        let (mut distance, mut shift) = (0u32, 0);
        self.next = None;
        while let [byte, rest @ ..] = self.rest {
            self.rest = rest;
            distance |= u32::from(byte & !MORE) << shift;
            shift += 7;
            if byte & MORE == 0 {
                self.next = Some(handle.wrapping_add(distance));
                break;
            }
        }
        Some(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn agrees_with_a_list_of_handles() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut trail = Trail::default();
            let mut model = VecDeque::new();
            let mut handle = random.u32(..);
            for _ in 0..2_000 {
                match random.u32(0..11) {
                    10 => {
                        let count = random.u32(1..300);
                        if model.is_empty() {
                            continue;
                        }
                        trail.push_next(count);
                        model.extend((1..=count).map(|step| handle.wrapping_add(step)));
                        handle = handle.wrapping_add(count);
                    }
                    0..=5 => {
                        let bits = random.u32(0..=31);
                        handle = handle.wrapping_add(random.u32(..=u32::MAX >> bits));
                        trail.push(handle);
                        model.push_back(handle);
                    }
                    6 | 7 => {
                        for _ in 0..random.usize(0..10).min(model.len()) {
                            trail.pop_front();
                            model.pop_front();
                        }
                    }
                    8 => trail.shrink(),
                    _ => {
                        let count = random.usize(0..=model.len());
                        let newest = trail.newest(count as u32);
                        assert!(newest.eq(model.iter().skip(model.len() - count).copied()), "seed {seed}");
                    }
                }
            }
            assert!(trail.newest(model.len() as u32).eq(model));
        }
    }

    #[test]
    fn near_events_take_a_byte_each_and_old_ones_make_room() {
        let mut trail = Trail::default();
        (0..10_000u32).for_each(|index| {
            trail.push(index * 100);
            if index >= 128 {
                trail.pop_front();
            }
        });
        assert!(trail.bytes.capacity() <= 256, "{}", trail.bytes.capacity());
        assert!(trail.newest(128).eq((9_872..10_000).map(|index| index * 100)));
        (0..128).for_each(|_| trail.pop_front());
        trail.shrink();
        assert_eq!(trail.bytes.capacity(), 0);
    }
}
