//! How many records name a blob.
//!
//! Invariant: a blob has a row as long as a record names it, and none afterwards: what has no row may be removed. The
//! bytes are there before the command that names them ([`crate::store::blobs`]). Rows whose table says `names` let go of
//! theirs when they are removed; what else names one is let go of here.

use super::machine::Machine;
use crate::store::Read;
use crate::store::blobs::Hash;
use crate::store::records::Meta;
use crate::store::tables::{BLOB_LOOKS, BLOBS};

/// One more record names it.
pub(in crate::domain) fn hold(machine: &mut Machine<'_, '_>, hash: &Hash) {
    let count = machine.tx.get(BLOBS, *hash).map_or(0, |meta| meta.value.to_native());
    machine.tx.put(BLOBS, *hash, &Meta { value: count + 1 });
}

/// What it looks like, for as long as it is held.
pub(in crate::domain) fn note_look(machine: &mut Machine<'_, '_>, hash: &Hash, look: Option<u64>) {
    if let Some(value) = look {
        machine.tx.put(BLOB_LOOKS, *hash, &Meta { value });
    }
}

/// What a picture looks like that is held.
pub(in crate::domain) fn look(read: Read<'_>, hash: &Hash) -> Option<u64> {
    read.get(BLOB_LOOKS, *hash).map(|meta| meta.value.to_native())
}

/// One record fewer names it.
pub(in crate::domain) fn release(machine: &mut Machine<'_, '_>, hash: &Hash) {
    let count = machine.tx.release_blob(hash);
    assert!(count > 0, "what a record names is held");
}
