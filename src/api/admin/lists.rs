//! Pages of the administrators' lists.

use std::ops::RangeInclusive;

use crate::api::ctx::{Ctx, Step};
use crate::domain::Result;
use crate::domain::contact::tally::Queue;
use crate::store::{Key, Read, Record};
use crate::wire::json::Array;

/// Items of a page.
pub const LIMIT: RangeInclusive<u64> = 1..=1_000;
/// From which item on.
pub const OFFSET: RangeInclusive<u64> = 0..=u64::MAX;

/// The part of a list of `count` items that is asked for. One that begins behind the end costs nothing.
pub fn page<T>(
    items: impl Iterator<Item = T>,
    count: u64,
    (limit, offset): (u64, u64),
) -> impl Iterator<Item = T> {
    let limit = if offset < count { limit } else { 0 };
    let fit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let skipped = if limit == 0 { 0 } else { fit(offset) };
    items.skip(skipped).take(fit(limit))
}

/// A part of a queue, or of what of it is in a state that is named: the latest first.
///
/// # Errors
/// Those of [`Ctx::json`].
pub fn queue_list<K: Key<Owned = K>, V: Record>(
    ctx: &mut Ctx<'_>,
    queue: &Queue<K, V>,
    state: Option<&str>,
    part: (u64, u64),
    write: impl Fn(&mut Vec<u8>, Read<'_>, K, &V::Archived),
) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let ids: Vec<K> = match state.and_then(queue.code) {
        None => page(read.scan_rev(queue.records, ()).keys(), queue.total(read), part).collect(),
        Some(state) => page(queue.in_state(read, state), queue.count(read, state), part).collect(),
    };
    ctx.json(|out| {
        let mut list = Array::new(out);
        for id in ids {
            if let Some(record) = read.get(queue.records, id) {
                write(list.item(), read, id, record);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_part_of_the_list() {
        let take = |limit, offset| page(0..5, 5, (limit, offset)).collect::<Vec<u64>>();
        assert_eq!(take(2, 0), [0, 1]);
        assert_eq!(take(9, 3), [3, 4]);
        assert!(take(9, 5).is_empty());
        assert!(take(9, u64::MAX).is_empty());
    }
}
