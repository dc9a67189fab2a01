//! Backups that the server makes itself, side by side in one folder, each called by its time.
//!
//! Invariant: only what is called so, and is whole, is ever removed: those beyond the number that is kept, once a newer
//! one is whole.

use std::fs;
use std::path::{Path, PathBuf};

use crate::store::{DATA_FILE, Store};

/// `20261127T210405Z`.
fn is_name(name: &str) -> bool {
    const FORM: &[u8] = b"00000000T000000Z";
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    name.len() == FORM.len() && name.bytes().zip(FORM).all(fits)
}

/// Makes one, and removes those beyond `kept`; says what it did.
///
/// # Errors
/// When it could not be made.
pub fn back_up(store: &Store, folder: &Path, name: &str, kept: usize) -> Result<String, String> {
    let target = folder.join(name);
    let len = store.backup(&target).map_err(|error| error.to_string())?;
    let removed = remove_old(folder, kept);
    let mut said = format!("Backed up to {}: {len} bytes, verified.", target.display());
    if removed > 0 {
        said += &format!(" {removed} older ones were removed.");
    }
    Ok(said)
}

/// Those that are whole, the latest first.
fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_backup = |entry: &fs::DirEntry| {
        // Of the entry itself: what a link leads to is not ours.
        entry.file_type().is_ok_and(|kind| kind.is_dir())
            && entry.file_name().to_str().is_some_and(is_name)
            && entry.path().join(DATA_FILE).exists()
    };
    let mut found: Vec<_> = entries.flatten().filter(is_backup).map(|entry| entry.path()).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found
}

fn remove_old(folder: &Path, kept: usize) -> usize {
    let removed = list(folder).into_iter().skip(kept.max(1)).filter(|old| {
        let removed = fs::remove_dir_all(old);
        if let Err(error) = &removed {
            tracing::warn!(folder = %old.display(), %error, "an old backup cannot be removed");
        }
        removed.is_ok()
    });
    removed.count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::temporary;

    #[test]
    fn old_backups_go_and_nothing_else() {
        let (_place, store) = temporary(1 << 24);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let others = ["20200101T000000", "20200101T000000Z.old", "mine", "20200101T00000xZ"];
        for name in others {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(DATA_FILE), b"x").unwrap();
        }
        // One that was interrupted is none.
        fs::create_dir(at("20190101T000000Z")).unwrap();
        std::os::unix::fs::symlink(at("mine"), at("20180101T000000Z")).unwrap();
        for (index, name) in
            ["20260101T000000Z", "20260102T000000Z", "20260103T000000Z"].into_iter().enumerate()
        {
            let said = back_up(&store, folder.path(), name, 2).unwrap();
            assert!(said.contains(name) && said.contains("verified"), "{said}");
            assert_eq!(said.contains("1 older ones were removed"), index == 2, "{said}");
        }
        assert!(!at("20260101T000000Z").exists() && at("20260102T000000Z").exists());
        assert!(others.iter().all(|name| at(name).join(DATA_FILE).exists()));
        assert!(at("20190101T000000Z").exists() && at("20180101T000000Z").exists());
        let refused = back_up(&store, folder.path(), "20260103T000000Z", 2).unwrap_err();
        assert!(refused.contains("holds a store already"), "{refused}");
    }
}
