//! Records of earlier versions, read as what they are today, and records that lie sealed.
//!
//! A record that is read in place is a reference into LMDB's pages. One of an earlier version, or sealed, is made anew
//! from those, and kept beside the snapshot or the transaction it was read from, so that whoever reads sees the newest version
//! only and pays nothing for the others. What is kept is let go where nothing can refer to it any more: at the next
//! write of a transaction, and by [`Snapshot::trim`](super::Snapshot::trim).

use std::cell::RefCell;
use std::sync::Arc;

use rkyv::rancor;

/// Bytes of records that are kept before [`Upgraded::trim`] lets go of them. Some 2,000 messages.
const KEPT_LEN_MAX: usize = 1 << 20;

/// The records that were upgraded for one snapshot or transaction.
#[derive(Default)]
pub(super) struct Upgraded(RefCell<Kept>);

#[derive(Default)]
struct Kept {
    records: Vec<Arc<[u8]>>,
    len: usize,
}

impl Upgraded {
    /// Keeps the bytes of a record; they stay where they are until `self` is borrowed mutably.
    pub fn keep(&self, bytes: Arc<[u8]>) -> &[u8] {
        let mut kept = self.0.borrow_mut();
        let (start, len) = (bytes.as_ptr(), bytes.len());
        kept.len += len;
        kept.records.push(bytes);
        // SAFETY: shared bytes do not move and are not written, and this share of them is only dropped in `clear`, which
        // borrows `self` mutably, or with `self`: after the end of the returned borrow either way.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// Lets go of everything.
    #[inline]
    pub fn clear(&mut self) {
        let kept = self.0.get_mut();
        if !kept.records.is_empty() {
            *kept = Kept::default();
        }
    }

    /// Lets go of everything when it has become much.
    #[inline]
    pub fn trim(&mut self) {
        if self.0.get_mut().len > KEPT_LEN_MAX {
            self.clear();
        }
    }
}

/// The newest form of a record whose body is of an earlier one; `None` when it is not.
pub(super) fn upgrade<Old, New>(body: &[u8]) -> Option<New>
where
    Old: super::Record + for<'a> From<&'a Old::Archived>,
    New: From<Old>,
{
    let archived = rkyv::access::<Old::Archived, rancor::Error>(body).ok()?;
    Some(New::from(Old::from(archived)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_until_it_is_let_go() {
        let mut upgraded = Upgraded::default();
        let kept: Vec<&[u8]> = (0..200).map(|n| upgraded.keep(vec![n; 100].into())).collect();
        assert!(kept.iter().zip(0..).all(|(bytes, n)| **bytes == [n; 100]));
        upgraded.trim();
        assert_eq!(upgraded.0.get_mut().len, 20_000, "little is no reason");
        upgraded.keep(vec![0; KEPT_LEN_MAX].into());
        upgraded.trim();
        assert_eq!((upgraded.0.get_mut().len, upgraded.0.get_mut().records.len()), (0, 0));
    }
}
