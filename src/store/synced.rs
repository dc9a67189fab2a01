//! `store.sync = interval`: the state of the last sync, kept whole.
//!
//! Between two syncs the kernel writes pages in any order, the two meta pages too, and a power cut keeps some of them.
//! So the meta page of the last sync is kept in a file of its own, `data.synced`, and a snapshot of that state stays
//! open, so that LMDB writes over none of its pages. The order of a sync is: data to disk; its meta page to
//! `data.synced`, on disk; then the snapshot before is let go. Whenever the power is cut, `data.synced` names a state
//! whose pages are all on disk.
//!
//! The file goes when the store is closed. When it is there at a start, the process was killed or the machine went
//! down. The kernel's boot id and the mount tell which: after a kill everything is in the page cache and nothing is lost.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::image::{Image, META_AT, META_LEN, Meta, PAGE_LEN};
use super::report::Report;
use super::table::Snapshot;
use super::{DATA_FILE, OpenError, files};

pub const SYNCED_FILE: &str = "data.synced";
const MAGIC: &[u8; 8] = b"plexsync";
const BOOT_LEN: usize = 36;
/// Magic, boot id, mount, inode of the data file, meta page, checksum.
const NOTE_LEN: usize = 8 + BOOT_LEN + 8 + 8 + META_LEN + 4;

/// What `data.synced` says, twice: one is written while the other holds.
#[derive(Clone)]
struct Note {
    boot: [u8; BOOT_LEN],
    mount: u64,
    inode: u64,
    meta: Meta,
}

impl Note {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(NOTE_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.boot);
        out.extend_from_slice(&self.mount.to_le_bytes());
        out.extend_from_slice(&self.inode.to_le_bytes());
        out.extend_from_slice(&self.meta.bytes);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Note> {
        let (text, sum) = bytes.get(..NOTE_LEN)?.split_last_chunk::<4>()?;
        if crc32c::crc32c(text) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (boot, rest) = text.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (mount, rest) = rest.split_first_chunk()?;
        let (inode, meta) = rest.split_first_chunk()?;
        let (mount, inode) = (u64::from_le_bytes(*mount), u64::from_le_bytes(*inode));
        Some(Note { boot: *boot, mount, inode, meta: Meta::parse(meta.first_chunk()?)? })
    }

    /// The later of the two notes of a folder.
    fn read(folder: &Path) -> io::Result<Option<Note>> {
        let bytes = match fs::read(folder.join(SYNCED_FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let notes = bytes.chunks(PAGE_LEN).take(2).filter_map(Note::decode);
        Ok(notes.max_by_key(|note| note.meta.txn))
    }
}

/// Tells one run of the kernel from another; all zeroes when it does not say.
fn boot_id() -> [u8; BOOT_LEN] {
    let text = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.first_chunk().copied().unwrap_or([0; BOOT_LEN])
}

/// Tells one mount of a disk from the next, of kernels since 6.8; 0 when it does not say.
fn mount_id(data: &Path) -> u64 {
    /// statx(2), `STATX_MNT_ID_UNIQUE`.
    const MASK: u32 = 0x4000;
    let Ok(name) = std::ffi::CString::new(data.as_os_str().as_bytes()) else { return 0 };
    // SAFETY: all zeroes is a valid statx, the path ends with a zero byte, the kernel fills the struct.
    let (result, found) = unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        (libc::statx(libc::AT_FDCWD, name.as_ptr(), 0, MASK, &raw mut found), found)
    };
    if result == 0 && found.stx_mask & MASK != 0 { found.stx_mnt_id } else { 0 }
}

fn inode(data: &Path) -> io::Result<u64> {
    fs::metadata(data).map(|data| data.ino())
}

/// The last sync of an open store.
pub struct Synced {
    file: File,
    boot: [u8; BOOT_LEN],
    mount: u64,
    inode: u64,
    /// Which of the two notes is written next.
    next: u64,
    /// Keeps the pages of that state from being written over.
    pinned: Snapshot,
}

impl Synced {
    /// Notes the state that a store is opened with. All of the data file must be on disk.
    pub fn begin(folder: &Path, snapshot: Snapshot) -> io::Result<Synced> {
        let path = folder.join(SYNCED_FILE);
        let file = files::create(&path)?;
        let data = folder.join(DATA_FILE);
        let (mount, inode) = (mount_id(&data), inode(&data)?);
        let meta = meta_of(folder, &snapshot)?;
        let mut synced = Synced { file, boot: boot_id(), mount, inode, next: 0, pinned: snapshot };
        // Both notes now: a full disk is no reason to lose one later.
        synced.write(meta.clone())?;
        synced.write(meta)?;
        files::sync_folder(folder)?;
        Ok(synced)
    }

    /// Notes the state of a snapshot, all pages of which are on disk.
    pub fn advance(&mut self, folder: &Path, snapshot: Snapshot) -> io::Result<()> {
        self.write(meta_of(folder, &snapshot)?)?;
        self.pinned = snapshot;
        Ok(())
    }

    /// Removes the note: all that was written is on disk.
    pub fn end(self, folder: &Path) -> io::Result<()> {
        fs::remove_file(folder.join(SYNCED_FILE))?;
        files::sync_folder(folder)
    }

    fn write(&mut self, meta: Meta) -> io::Result<()> {
        let note = Note { boot: self.boot, mount: self.mount, inode: self.inode, meta }.encode();
        self.file.write_all_at(&note, self.next * PAGE_LEN as u64)?;
        self.file.sync_data()?;
        self.next ^= 1;
        Ok(())
    }
}

fn meta_of(folder: &Path, snapshot: &Snapshot) -> io::Result<Meta> {
    let image = Image::open_at(&folder.join(DATA_FILE), snapshot.txn()).map_err(io::Error::other)?;
    let image = image.ok_or_else(|| io::Error::other("the store was written to while it was synced"))?;
    Ok(image.meta().clone())
}

/// Walks over the state a store would be opened with: that of the last sync after a power cut, else the last one.
///
/// # Errors
/// One sentence, without the file's name.
pub fn walk(data: &Path) -> Result<(Image, Report), String> {
    let walked = |image: Image| {
        let report = image.walk();
        (image, report)
    };
    let note = files::store_of(data)
        .map_or(Ok(None), Note::read)
        .map_err(|error| format!("{SYNCED_FILE}: {error}"))?;
    match note {
        Some(note) if may_be_torn(data, &note) => {
            let same = inode(data).is_ok_and(|inode| inode == note.inode);
            // In another file than the note was written for: copied, or put in its place. Or the disk was mounted
            // anew: it may have been pulled, but most likely a container was.
            let last = (!same || !after_power_cut(&note)).then(|| Image::open(data).ok()).flatten();
            match last.map(walked).filter(|(_, report)| report.is_sound()) {
                Some(last) => Ok(last),
                None => Image::with_meta(data, note.meta).map(walked).map_err(|error| error.to_string()),
            }
        }
        _ => Image::open(data).map(walked),
    }
}

/// Whether what is in the file may be less than what was written to it.
fn may_be_torn(data: &Path, note: &Note) -> bool {
    after_power_cut(note) || note.mount != mount_id(data)
}

fn after_power_cut(note: &Note) -> bool {
    let boot = boot_id();
    boot == [0; BOOT_LEN] || note.boot != boot
}

/// Puts a store that was not closed into the state it is to be opened with, and that on disk. The caller has the lock.
///
/// # Errors
/// When that state is damaged too, or the disk refuses.
pub fn recover(folder: &Path) -> Result<(), OpenError> {
    let (data, name) = (folder.join(DATA_FILE), folder.join(SYNCED_FILE));
    if !name.exists() {
        return Ok(());
    }
    let fail = |error: String| OpenError(format!("cannot open the store: {}: {error}", data.display()));
    let refused =
        |error: io::Error| OpenError(format!("cannot open the store: {}", files::explain(&data, &error)));
    let note = Note::read(folder).map_err(refused)?;
    let file = OpenOptions::new().read(true).write(true).open(&data).map_err(refused)?;
    if note.is_some_and(|note| may_be_torn(&data, &note)) {
        let (image, report) = walk(&data).map_err(fail)?;
        if !report.is_sound() {
            return Err(fail(format!(
                "the state of the last sync before a power cut is damaged: {}. It is left as it is; put a backup in \
                 its place with `plexichat restore FOLDER`",
                report.summary()
            )));
        }
        for page in 0..2 {
            let at = (page * PAGE_LEN + META_AT) as u64;
            file.write_all_at(&image.meta().bytes, at).map_err(refused)?;
        }
        tracing::warn!(
            path = %data.display(),
            transaction = image.meta().txn,
            "the machine or its disk went down with store.sync = interval: the store is as of this transaction"
        );
    }
    // After a kill the last state is the right one; it must not be lost to a power cut that comes now.
    file.sync_all().map_err(refused)?;
    fs::remove_file(&name).and_then(|()| files::sync_folder(folder)).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::super::records::Setting;
    use super::super::tables::{SETTINGS, TABLE_COUNT};
    use super::super::{Options, Store, Sync};
    use super::*;
    use crate::id::UserId;

    fn options(path: &Path) -> Options {
        Options { path: path.to_path_buf(), map_size: 1 << 24, sync: Sync::Interval, readers_max: 8 }
    }

    fn content(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
        let snapshot = store.snapshot();
        let tables = (0..TABLE_COUNT).flat_map(|index| snapshot.read().raw(index));
        tables.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    fn write(store: &Store, random: &mut fastrand::Rng) {
        let mut tx = store.begin().unwrap();
        for _ in 0..random.usize(1..40) {
            let user = UserId(random.u64(..300));
            if random.u8(..3) == 0 {
                tx.delete(SETTINGS, (user, "key"));
                continue;
            }
            let len = if random.u8(..20) == 0 { 9_000 } else { random.usize(..300) };
            let value = String::from_utf8(vec![random.u8(b'a'..=b'z'); len]).unwrap();
            tx.put(SETTINGS, (user, "key"), &Setting { value, created_at: 0, updated_at: 0 });
        }
        tx.commit().unwrap();
    }

    /// The folder as a power cut leaves it: of the pages written since `synced` some are on disk. `boot` and the
    /// inode are those that a start would find.
    fn crash(store: &Store, synced: &[u8], random: &mut fastrand::Rng) -> tempfile::TempDir {
        let now = fs::read(store.path().join(DATA_FILE)).unwrap();
        let mut disk = now.clone();
        if random.u8(..4) == 0 {
            disk.truncate(random.usize(synced.len() / PAGE_LEN..=now.len() / PAGE_LEN) * PAGE_LEN);
        }
        for (index, page) in disk.chunks_mut(PAGE_LEN).enumerate() {
            if random.bool() {
                match synced.get(index * PAGE_LEN..(index + 1) * PAGE_LEN) {
                    Some(old) => page.copy_from_slice(old),
                    None => page.fill(0),
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(DATA_FILE), disk).unwrap();
        let mut note = Note::read(store.path()).unwrap().unwrap();
        note.boot = [b'x'; BOOT_LEN];
        note.inode = inode(&folder.path().join(DATA_FILE)).unwrap();
        fs::write(folder.path().join(SYNCED_FILE), note.encode()).unwrap();
        folder
    }

    #[test]
    fn a_power_cut_leaves_the_state_of_the_last_sync() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&options(folder.path())).unwrap();
        for _ in 0..60 {
            for _ in 0..random.usize(..4) {
                write(&store, &mut random);
            }
            store.sync().unwrap();
            let (want, synced) = (content(&store), fs::read(folder.path().join(DATA_FILE)).unwrap());
            for _ in 0..random.usize(..12) {
                write(&store, &mut random);
            }
            let crashed = crash(&store, &synced, &mut random);
            assert!(super::super::verify(crashed.path()).unwrap().is_sound());
            let restarted = Store::open(&options(crashed.path())).unwrap();
            assert!(content(&restarted) == want, "seed {seed}");
            restarted.verify().unwrap();
            // And it can be written on.
            write(&restarted, &mut random);
            restarted.verify().unwrap();
        }
    }

    #[test]
    fn after_a_kill_nothing_is_lost_and_after_a_close_nothing_is_left() {
        let mut random = fastrand::Rng::with_seed(5);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&options(folder.path())).unwrap();
        write(&store, &mut random);
        store.sync().unwrap();
        write(&store, &mut random);
        let want = content(&store);
        let killed = tempfile::tempdir().unwrap();
        for name in [DATA_FILE, SYNCED_FILE] {
            fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
        }
        let restarted = Store::open(&Options { sync: Sync::Always, ..options(killed.path()) }).unwrap();
        assert!(content(&restarted) == want);
        assert!(!killed.path().join(SYNCED_FILE).exists(), "with always there is nothing to note");
        drop(store);
        assert!(!folder.path().join(SYNCED_FILE).exists());
        assert!(content(&Store::open(&options(folder.path())).unwrap()) == want);
    }

    #[test]
    fn a_note_that_was_cut_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&options(folder.path())).unwrap();
        store.sync().unwrap();
        let note = Note::read(folder.path()).unwrap().unwrap().encode();
        assert!(Note::decode(&note).is_some());
        assert!((0..note.len()).all(|len| Note::decode(&note[..len]).is_none()));
        for at in 0..note.len() {
            let mut damaged = note.clone();
            damaged[at] ^= 4;
            assert!(Note::decode(&damaged).is_none(), "{at}");
        }
    }
}
