//! How many records name a blob.
//!
//! Invariant: a blob has a row as long as a record names it, and none afterwards: what has no row may be removed. The
//! bytes are there before the command that names them ([`crate::store::blobs`]). Rows whose table says `names` let go of
//! theirs when they are removed; what else names one is let go of here.

use super::machine::Machine;
use crate::store::blobs::Hash;
use crate::store::records::Meta;
use crate::store::tables::BLOBS;

/// One more record names it.
pub(in crate::domain) fn hold(machine: &mut Machine<'_, '_>, hash: &Hash) {
    let count = machine.tx.get(BLOBS, *hash).map_or(0, |meta| meta.value.to_native());
    machine.tx.put(BLOBS, *hash, &Meta { value: count + 1 });
}

/// One record fewer names it.
pub(in crate::domain) fn release(machine: &mut Machine<'_, '_>, hash: &Hash) {
    let count = machine.tx.release_blob(hash);
    assert!(count > 0, "what a record names is held");
}
