//! Files of clients, beside the records: each under the SHA-256 of what is in it, written once, never changed.
//!
//! Invariants:
//! - A file that has its name is whole and on disk: it is written under another, synced, and renamed.
//! - A record names a file only after that ([`Blobs::put`] comes before the command). A crash between the two leaves
//!   a file that no record names: [`Blobs::collect`] removes it once it is old. What is young may be about to be
//!   named, so nothing else removes files, and `put` makes a file young that is there already.
//! - Everything here may wait for a disk: call it on a lane.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::files::{self, create_folder, sync_folder};
use super::keyring::{KEYS_FILE, Keyring};
use super::plain_file::PlainFile;
use super::space::Disk;
use super::sum::copy_and_sum;
use super::{hex, sealed};

/// Folder of them, in that of the store, or of a backup.
pub const BLOBS_FOLDER: &str = "blobs";
/// In it, for what is not whole yet.
const PARTIAL_FOLDER: &str = "partial";
/// In it, for what is on its way to another place in parts.
const UNDER_WAY_FOLDER: &str = "under-way";
/// In it, says where else blobs are, when they are.
const ELSEWHERE_FILE: &str = "elsewhere";
/// Folders that they are spread over, by the first byte of their names: 10 million files are 40,000 each.
pub const SHELF_COUNT: u16 = 256;
/// No command takes so long from its blob to its commit.
pub const YOUNG: Duration = Duration::from_secs(3_600);
/// One part in so many of the disk stays free of files on their way in: anybody may send some, slowly.
const DISK_LEFT_PART: u64 = 20;
/// Of a large disk no more than this does: twice what the store may grow by in one transaction.
const DISK_LEFT_MAX: u64 = 1 << 30;
/// Blobs that are looked at for a newer key at once: two seconds of a disk that takes four milliseconds to sync.
const REWRAP_COUNT: usize = 256;

/// What names a blob: the sum of its bytes.
pub use super::sum::Hash;

/// Where blobs are kept.
pub trait Blobs: Send + Sync {
    /// A file that is on disk, but has no name: it is gone with its last descriptor.
    ///
    /// # Errors
    /// Those of the disk.
    fn unnamed(&self) -> io::Result<File>;

    /// Whether what is on its way in has to wait: the last part of the disk is for records, and for what is to be kept.
    fn is_nearly_full(&self) -> bool;

    /// Keeps bytes. It is on disk when this returns, and stays for an hour though nothing names it.
    ///
    /// # Errors
    /// Those of the disk, and of what is read.
    fn put(&self, content: &mut dyn Read) -> io::Result<Hash>;

    /// # Errors
    /// When it is not there, or cannot be opened.
    fn open(&self, hash: &Hash) -> io::Result<Arc<dyn Blob>>;

    /// Removes what a crash has left half written. Nothing may be under way: call it at the start.
    ///
    /// # Errors
    /// Those of the disk.
    fn clear(&self) -> io::Result<()>;

    /// Removes what is old and not named, of one of [`SHELF_COUNT`] shelves; how many those were.
    ///
    /// # Errors
    /// Those of the disk.
    fn collect(&self, shelf: u16, is_named: &dyn Fn(&Hash) -> bool) -> io::Result<u64>;

    /// Seals the keys of some blobs of a shelf by the server's newest key: the first ones behind `after`. To do it again
    /// changes nothing, so whoever goes through all shelves may begin anew wherever he was interrupted.
    ///
    /// # Errors
    /// Those of the disk.
    fn rewrap(&self, shelf: u16, after: Option<Hash>) -> io::Result<Rewrapped>;
}

/// What [`Blobs::rewrap`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Behind this one it goes on; `None` when nothing is left of the shelf.
    pub next: Option<Hash>,
    /// Blobs whose key was sealed anew.
    pub count: u64,
    /// Blobs that no key opens; the log names them.
    pub damaged: u64,
}

/// A blob that can be read.
pub trait Blob: Send + Sync {
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out`.
    ///
    /// # Errors
    /// When there is not as much, or the disk does not give it.
    fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()>;

    /// The file that it is, byte for byte, if it is one.
    fn plain_file(&self) -> Option<&PlainFile> {
        None
    }
}

/// Blobs in a folder.
pub struct Folder {
    path: PathBuf,
    /// What sealed blobs are opened with.
    keys: Option<Arc<Keyring>>,
    /// New ones are sealed.
    seals: bool,
    /// Between the look at a file's age and its removal nobody makes it young.
    changing: Mutex<()>,
    next: AtomicU64,
}

impl Folder {
    /// Blobs beside the store in `store`. There is one of these in a process, and one process that writes.
    pub fn new(store: &Path) -> Folder {
        let path = store.join(BLOBS_FOLDER);
        Folder { path, keys: None, seals: false, changing: Mutex::new(()), next: AtomicU64::new(0) }
    }

    /// The same with the keys of the server. Whether new blobs are sealed, `seals` says; those that are can be read
    /// either way.
    pub fn with_keys(store: &Path, keys: Arc<Keyring>, seals: bool) -> Folder {
        Folder { keys: Some(keys), seals, ..Folder::new(store) }
    }

    /// Whether a blob is there.
    pub fn has(&self, hash: &Hash) -> bool {
        path_of(&self.path, hash).exists()
    }

    /// Notes that blobs are kept elsewhere: whoever looks at this folder alone then misses none.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note_elsewhere(&self, place: &str) -> io::Result<()> {
        create_folder(&self.path)?;
        write_text(&self.path.join(ELSEWHERE_FILE), place)
    }

    /// Notes something that a start after a crash has to know, under a name; it is on disk when this returns.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note(&self, name: &str, text: &str) -> io::Result<()> {
        let folder = self.path.join(UNDER_WAY_FOLDER);
        create_folder(&folder)?;
        write_text(&folder.join(name), text)?;
        sync_folder(&folder)
    }

    /// The notes there are.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn notes(&self) -> io::Result<Vec<(String, String)>> {
        let entries = match fs::read_dir(self.path.join(UNDER_WAY_FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let read = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?))
        };
        entries.map(read).collect()
    }

    /// Forgets a note. One that stays is only looked at once more.
    pub fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.path.join(UNDER_WAY_FOLDER).join(name));
    }

    /// Writes a blob as it lies on the disk.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn write(&self, content: &mut dyn Read, to: &mut File) -> io::Result<Hash> {
        let mut front = Vec::with_capacity(sealed::MARK.len());
        Read::take(&mut *content, sealed::MARK.len() as u64).read_to_end(&mut front)?;
        // What begins like a sealed one is sealed in any case, so that it is read as what it is.
        let looks_sealed = front == sealed::MARK;
        let mut content = front.as_slice().chain(content);
        match &self.keys {
            Some(keys) if self.seals || looks_sealed => sealed::write(&mut content, to, keys),
            None if looks_sealed => Err(io::ErrorKind::InvalidData.into()),
            _ => copy_and_sum(&mut content, to),
        }
    }

    /// A new name for what is not whole yet, in a folder that is there.
    fn partial(&self) -> io::Result<PathBuf> {
        let folder = self.path.join(PARTIAL_FOLDER);
        create_folder(&folder)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(folder.join(number.to_string()))
    }

    fn put_at(&self, partial: &Path, content: &mut dyn Read) -> io::Result<Hash> {
        let mut file = files::create(partial)?;
        let hash = self.write(content, &mut file)?;
        self.name(&file, partial, hash)
    }

    /// Gives a file that is whole its name, for good.
    fn name(&self, file: &File, partial: &Path, hash: Hash) -> io::Result<Hash> {
        file.sync_all()?;
        let target = path_of(&self.path, &hash);
        let shelf = files::folder_of(&target);
        if create_folder(shelf)? {
            sync_folder(&self.path)?;
        }
        let changing = self.changing.lock().expect("nothing panics while it is held");
        fs::rename(partial, &target)?;
        drop(changing);
        sync_folder(shelf)?;
        Ok(hash)
    }

    /// Takes a copy of a blob in another folder, if it is whole; its length.
    fn copy_in(
        &self,
        from: &mut File,
        partial: &Path,
        keys: Option<&Keyring>,
        hash: Hash,
    ) -> io::Result<u64> {
        let mut file = files::create(partial)?;
        let len = io::copy(from, &mut file)?;
        if sum_of_blob(PlainFile::new(file.try_clone()?)?, keys, &hash)? != hash {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not the file that was written"));
        }
        self.name(&file, partial, hash)?;
        Ok(len)
    }

    fn rewrap_some(&self, shelf: u16, after: Option<Hash>, count_max: usize) -> io::Result<Rewrapped> {
        let mut done = Rewrapped::default();
        let Some(keys) = &self.keys else { return Ok(done) };
        let mut blobs = shelf_of(&self.path, shelf)?;
        blobs.retain(|(hash, _)| after.is_none_or(|after| *hash > after));
        blobs.sort_unstable();
        let has_more = blobs.len() > count_max;
        blobs.truncate(count_max);
        for (hash, path) in &blobs {
            let file = match File::options().read(true).write(true).open(path) {
                Ok(file) => file,
                // Collected meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match sealed::rewrap(&file, keys, hash) {
                Ok(is_new) => done.count += u64::from(is_new),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(path = %path.display(), %error, "a file of a client cannot be opened");
                    done.damaged += 1;
                }
                Err(error) => return Err(error),
            }
        }
        done.next = blobs.last().filter(|_| has_more).map(|(hash, _)| *hash);
        Ok(done)
    }

    /// Whether it was removed.
    fn remove_if_old(&self, path: &Path) -> io::Result<bool> {
        let _changing = self.changing.lock().expect("nothing panics while it is held");
        let age = fs::metadata(path)?.modified()?.elapsed();
        // From the future is young.
        let is_old = age.is_ok_and(|age| age >= YOUNG);
        if is_old {
            fs::remove_file(path)?;
        }
        Ok(is_old)
    }
}

/// Whether what is left of a disk is for records alone.
fn is_for_records(disk: Disk) -> bool {
    disk.free < (disk.size / DISK_LEFT_PART).min(DISK_LEFT_MAX)
}

impl Blobs for Folder {
    fn unnamed(&self) -> io::Result<File> {
        let path = self.partial()?;
        let file = files::create(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    fn is_nearly_full(&self) -> bool {
        is_for_records(Disk::of(&self.path))
    }

    fn put(&self, content: &mut dyn Read) -> io::Result<Hash> {
        let partial = self.partial()?;
        self.put_at(&partial, content).inspect_err(|_| drop(fs::remove_file(&partial)))
    }

    fn open(&self, hash: &Hash) -> io::Result<Arc<dyn Blob>> {
        let file = Arc::new(PlainFile::new(File::open(path_of(&self.path, hash))?)?);
        sealed::open(file, self.keys.as_deref(), hash)
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.path.join(PARTIAL_FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn collect(&self, shelf: u16, is_named: &dyn Fn(&Hash) -> bool) -> io::Result<u64> {
        let mut count = 0;
        for (hash, path) in shelf_of(&self.path, shelf)? {
            if !is_named(&hash) && self.remove_if_old(&path)? {
                count += 1;
            }
        }
        Ok(count)
    }

    fn rewrap(&self, shelf: u16, after: Option<Hash>) -> io::Result<Rewrapped> {
        self.rewrap_some(shelf, after, REWRAP_COUNT)
    }
}

/// `ab/cdef…`: the first byte is the shelf.
fn path_of(folder: &Path, hash: &Hash) -> PathBuf {
    let name = hex::encode(hash);
    folder.join(&name[..2]).join(&name[2..])
}

/// The blobs of a shelf. Whatever else lies there is nobody's business here.
fn shelf_of(folder: &Path, shelf: u16) -> io::Result<Vec<(Hash, PathBuf)>> {
    let name = format!("{shelf:02x}");
    let entries = match fs::read_dir(folder.join(&name)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut blobs = Vec::new();
    for entry in entries {
        let entry = entry?;
        let hash = entry.file_name().to_str().and_then(|rest| hex::decode(&format!("{name}{rest}")));
        blobs.extend(hash.map(|hash| (hash, entry.path())));
    }
    Ok(blobs)
}

/// Whether one of the blobs beside a store is sealed. Looks at them until one is.
///
/// # Errors
/// Those of the disk.
pub(super) fn are_sealed(store: &Path) -> io::Result<bool> {
    for shelf in 0..SHELF_COUNT {
        for (_, path) in shelf_of(&store.join(BLOBS_FOLDER), shelf)? {
            if sealed::is_sealed(&File::open(path)?)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Copies what `to` does not have yet of the blobs beside a store or in a backup, sealed as they are; bytes that were
/// copied. What is removed meanwhile is left out. Both name the folder that [`BLOBS_FOLDER`] is in.
///
/// # Errors
/// Those of the disks; that a blob is damaged, or sealed with a key that is not in `from`.
pub fn copy_missing(from: &Path, to: &Path) -> io::Result<u64> {
    let (source, mut len) = (from.join(BLOBS_FOLDER), 0);
    if !source.exists() {
        return Ok(0);
    }
    let target = Folder::new(to);
    let keys = keys_of(from)?;
    if let Some(place) = elsewhere(from) {
        target.note_elsewhere(&place)?;
    }
    for shelf in 0..SHELF_COUNT {
        for (hash, path) in shelf_of(&source, shelf)? {
            if path_of(&target.path, &hash).exists() {
                continue;
            }
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let partial = target.partial()?;
            let copied = target.copy_in(&mut file, &partial, keys.as_ref(), hash);
            len += copied.inspect_err(|_| drop(fs::remove_file(&partial))).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::InvalidData => {
                        io::Error::other(format!("{} is damaged: {error}", path.display()))
                    }
                    _ => error,
                }
            })?;
        }
    }
    Ok(len)
}

/// What is wrong with the blobs that records name, one line each. `place` is the folder of a store or backup.
pub(super) fn check(place: &Path, hashes: &[Hash]) -> Vec<String> {
    let keys = match hashes {
        [] => return Vec::new(),
        _ => keys_of(place),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => return vec![error.to_string()],
    };
    // Of those nothing is known here.
    let is_elsewhere = elsewhere(place).is_some();
    let wrong = |hash: &Hash| {
        let path = path_of(&place.join(BLOBS_FOLDER), hash);
        let raw = File::open(&path).and_then(PlainFile::new);
        match raw.and_then(|raw| sum_of_blob(raw, keys.as_ref(), hash)) {
            Ok(sum) if sum == *hash => None,
            Err(error) if is_elsewhere && error.kind() == io::ErrorKind::NotFound => None,
            Ok(_) => Some(format!("{} is not the file that was written", path.display())),
            Err(error) => Some(files::explain(&path, &error)),
        }
    };
    hashes.iter().filter_map(wrong).collect()
}

fn write_text(path: &Path, text: &str) -> io::Result<()> {
    let mut file = files::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Where else blobs of a store or backup are, if they are.
pub(super) fn elsewhere(place: &Path) -> Option<String> {
    let text = fs::read_to_string(place.join(BLOBS_FOLDER).join(ELSEWHERE_FILE));
    text.ok().map(|text| text.trim().to_string())
}

fn keys_of(place: &Path) -> io::Result<Option<Keyring>> {
    Keyring::read(&place.join(KEYS_FILE)).map_err(io::Error::other)
}

/// The SHA-256 of what is in a blob that may be sealed.
fn sum_of_blob(raw: PlainFile, keys: Option<&Keyring>, hash: &Hash) -> io::Result<Hash> {
    let blob = sealed::open(Arc::new(raw), keys, hash)?;
    let (mut sum, mut piece) = (Sha256::new(), vec![0; sealed::SEGMENT_LEN]);
    let mut at = 0;
    while at < blob.len() {
        let len = (blob.len() - at).min(sealed::SEGMENT_LEN as u64);
        let piece = &mut piece[..len as usize];
        blob.read_exact_at(piece, at)?;
        sum.update(&*piece);
        at += len;
    }
    Ok(sum.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn names(folder: &Path) -> Vec<PathBuf> {
        let all = (0..SHELF_COUNT).flat_map(|shelf| shelf_of(&folder.join(BLOBS_FOLDER), shelf).unwrap());
        all.map(|(_, path)| path).collect()
    }

    fn make_old(path: &Path) {
        let hour_ago = std::time::SystemTime::now() - YOUNG - Duration::from_secs(1);
        File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }

    #[test]
    fn records_have_the_last_of_a_disk_and_no_more_of_a_large_one() {
        const GIB: u64 = 1 << 30;
        let cases = [
            // size, free, whether files have to wait
            (10 * GIB, GIB / 2, false),
            (10 * GIB, GIB / 2 - 1, true),
            (90 * GIB, 3 * GIB, false),
            (4_096 * GIB, GIB, false),
            (4_096 * GIB, GIB - 1, true),
            // The system does not tell.
            (0, 0, false),
        ];
        for (size, free, waits) in cases {
            assert_eq!(is_for_records(Disk { free, size }), waits, "{free} of {size}");
        }
    }

    #[test]
    fn what_is_put_is_there_once_and_private() {
        let place = tempfile::tempdir().unwrap();
        let blobs = Folder::new(place.path());
        let content = vec![7; 200_000];
        let hash = blobs.put(&mut content.as_slice()).unwrap();
        assert_eq!(hash, <Hash>::from(Sha256::digest(&content)));
        assert_eq!(blobs.put(&mut content.as_slice()).unwrap(), hash);
        let paths = names(place.path());
        assert_eq!(paths, [path_of(&place.path().join(BLOBS_FOLDER), &hash)]);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&paths[0]), mode(files::folder_of(&paths[0]))), (0o600, 0o700));
        let blob = blobs.open(&hash).unwrap();
        let mut part = [0; 10];
        blob.read_exact_at(&mut part, 199_990).unwrap();
        assert_eq!((blob.len(), part), (200_000, [7; 10]));
        assert!(blob.read_exact_at(&mut part, 199_991).is_err());
        assert_eq!(blobs.open(&[0; 32]).err().unwrap().kind(), io::ErrorKind::NotFound);
        // Nothing is left of what has no name, of what failed, and of what a crash has interrupted.
        blobs.unnamed().unwrap().write_all(b"x").unwrap();
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::Other.into())
            }
        }
        assert!(blobs.put(&mut Broken).is_err());
        let partial = place.path().join(BLOBS_FOLDER).join(PARTIAL_FOLDER);
        assert_eq!(fs::read_dir(&partial).unwrap().count(), 0);
        fs::write(partial.join("9"), "half").unwrap();
        blobs.clear().unwrap();
        assert!(!partial.exists() && blobs.clear().is_ok());
    }

    #[test]
    fn only_what_is_old_and_not_named_is_collected() {
        let place = tempfile::tempdir().unwrap();
        let blobs = Folder::new(place.path());
        let [named, young, old] =
            [b"named", b"young", b"older"].map(|text| blobs.put(&mut &text[..]).unwrap());
        let path = |hash: &Hash| path_of(&place.path().join(BLOBS_FOLDER), hash);
        [named, old].iter().for_each(|hash| make_old(&path(hash)));
        fs::write(files::folder_of(&path(&old)).join("other"), "").unwrap();
        let collect = || -> u64 {
            let shelves = (0..SHELF_COUNT).map(|shelf| blobs.collect(shelf, &|hash| *hash == named).unwrap());
            shelves.sum()
        };
        assert_eq!(collect(), 1);
        assert!(path(&named).exists() && path(&young).exists() && !path(&old).exists());
        // Put again it is young again.
        make_old(&path(&young));
        blobs.put(&mut &b"young"[..]).unwrap();
        assert_eq!(collect(), 0);
    }

    #[test]
    fn copies_are_whole_or_say_what_is_not() {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        assert_eq!(copy_missing(from.path(), to.path()).unwrap(), 0);
        let blobs = Folder::new(from.path());
        let [first, second] = [b"first", b"other"].map(|text| blobs.put(&mut &text[..]).unwrap());
        assert_eq!(copy_missing(from.path(), to.path()).unwrap(), 10);
        assert_eq!(copy_missing(from.path(), to.path()).unwrap(), 0);
        assert_eq!(check(to.path(), &[first, second]), [""; 0]);
        let path = path_of(&to.path().join(BLOBS_FOLDER), &first);
        fs::write(&path, "firsT").unwrap();
        assert!(check(to.path(), &[first, second])[0].contains("not the file that was written"));
        fs::remove_file(&path).unwrap();
        assert!(check(to.path(), &[first])[0].contains("No such file"));
        let source = path_of(&from.path().join(BLOBS_FOLDER), &first);
        fs::write(&source, "firsT").unwrap();
        let error = copy_missing(from.path(), to.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
    }

    fn sealing(place: &Path) -> Folder {
        Folder::with_keys(place, Arc::new(Keyring::open(place).unwrap()), true)
    }

    fn read(blobs: &dyn Blobs, hash: &Hash) -> Vec<u8> {
        let blob = blobs.open(hash).unwrap();
        let mut bytes = vec![0; blob.len() as usize];
        blob.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_is_sealed_keeps_its_name_and_what_is_not_stays_readable() {
        let place = tempfile::tempdir().unwrap();
        let before = Folder::new(place.path()).put(&mut &b"from before"[..]).unwrap();
        assert!(!are_sealed(place.path()).unwrap());
        let blobs = sealing(place.path());
        let hash = blobs.put(&mut &b"secret"[..]).unwrap();
        assert_eq!(hash, <Hash>::from(Sha256::digest(b"secret")));
        assert!(are_sealed(place.path()).unwrap());
        assert_eq!(
            (read(&blobs, &hash), read(&blobs, &before)),
            (b"secret".to_vec(), b"from before".to_vec())
        );
        let raw = fs::read(path_of(&place.path().join(BLOBS_FOLDER), &hash)).unwrap();
        assert!(raw.starts_with(&sealed::MARK) && !raw.windows(6).any(|window| window == b"secret"));
        // Switched off, new ones are not; but for what would be taken for sealed.
        let plain = Folder { seals: false, ..sealing(place.path()) };
        let imitation = [&sealed::MARK[..], &[1; 200]].concat();
        let [other, imitated] = [b"other", &imitation[..]].map(|mut text| plain.put(&mut text).unwrap());
        assert_eq!((read(&plain, &other), read(&plain, &imitated)), (b"other".to_vec(), imitation));
        assert_eq!(fs::read(path_of(&place.path().join(BLOBS_FOLDER), &other)).unwrap(), b"other");
        assert_eq!(read(&plain, &hash), b"secret");
    }

    #[test]
    fn sealed_ones_are_copied_as_they_are_and_checked_with_their_keys() {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let hash = sealing(from.path()).put(&mut &[7; 100_000][..]).unwrap();
        assert!(copy_missing(from.path(), to.path()).unwrap() > 100_000);
        let raw = |place: &Path| fs::read(path_of(&place.join(BLOBS_FOLDER), &hash)).unwrap();
        assert_eq!(raw(from.path()), raw(to.path()));
        assert!(check(to.path(), &[hash])[0].contains("there are no keys"));
        fs::copy(from.path().join(KEYS_FILE), to.path().join(KEYS_FILE)).unwrap();
        assert_eq!(check(to.path(), &[hash]), [""; 0]);
        let mut damaged = raw(from.path());
        damaged[70_000] ^= 1;
        fs::write(path_of(&from.path().join(BLOBS_FOLDER), &hash), damaged).unwrap();
        assert!(check(from.path(), &[hash])[0].contains("was changed"));
        fs::remove_file(path_of(&to.path().join(BLOBS_FOLDER), &hash)).unwrap();
        let error = copy_missing(from.path(), to.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged") && names(to.path()).is_empty(), "{error}");
    }

    #[test]
    fn keys_of_blobs_are_sealed_anew_in_steps() {
        let place = tempfile::tempdir().unwrap();
        let old = sealing(place.path());
        let texts = (0..3_000).map(|number: usize| number.to_string());
        let of_two_shelves = texts.filter(|text| Sha256::digest(text)[0] < 2);
        let hashes: Vec<Hash> = of_two_shelves.map(|text| old.put(&mut text.as_bytes()).unwrap()).collect();
        let keys = Arc::new(old.keys.as_ref().unwrap().with_new_key());
        let both = Folder::with_keys(place.path(), keys, true);
        let plain = Folder { seals: false, ..sealing(place.path()) }.put(&mut &b"plain"[..]).unwrap();
        let damaged = path_of(&both.path, &hashes[0]);
        fs::write(&damaged, [&sealed::MARK[..], &[1; 200]].concat()).unwrap();
        let round = || {
            let (mut count, mut failed, mut steps) = (0, 0, 0);
            for shelf in (0..2).chain([u16::from(plain[0])]) {
                let mut after = None;
                loop {
                    let done = both.rewrap_some(shelf, after, 3).unwrap();
                    (count, failed, steps) = (count + done.count, failed + done.damaged, steps + 1);
                    after = done.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
            (count as usize, failed, steps)
        };
        let (count, failed, steps) = round();
        assert!(
            count == hashes.len() - 1 && failed == 1 && steps > hashes.len() / 3,
            "{count} {failed} {steps}"
        );
        assert_eq!(round().0, 0, "once");
        assert!(old.open(&hashes[1]).is_err() && both.open(&hashes[1]).is_ok());
    }
}
