//! Files of clients, beside the records: each under the SHA-256 of what is in it, written once, never changed.
//!
//! Invariants:
//! - A file that has its name is whole and on disk: it is written under another, synced, and renamed.
//! - A record names a file only after that ([`Blobs::put`] comes before the command). A crash between the two leaves
//!   a file that no record names: [`Blobs::collect`] removes it once it is old. What is young may be about to be
//!   named, so nothing else removes files, and `put` makes a file young that is there already.
//! - Everything here may wait for a disk: call it on a lane.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::files::{self, create_folder, sync_folder};
use super::hex;
use super::plain_file::PlainFile;
use super::space::Disk;
use super::sum::{copy_and_sum, sum_of};

/// Folder of them, in that of the store, or of a backup.
pub const BLOBS_FOLDER: &str = "blobs";
/// In it, for what is not whole yet.
const PARTIAL_FOLDER: &str = "partial";
/// Folders that they are spread over, by the first byte of their names: 10 million files are 40,000 each.
pub const SHELF_COUNT: u16 = 256;
/// No command takes so long from its blob to its commit.
const YOUNG: Duration = Duration::from_secs(3_600);
/// One part in so many of the disk stays free of files on their way in: anybody may send some, slowly.
const DISK_LEFT_PART: u64 = 20;

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
    /// Between the look at a file's age and its removal nobody makes it young.
    changing: Mutex<()>,
    next: AtomicU64,
}

impl Folder {
    /// Blobs beside the store in `store`. There is one of these in a process, and one process that writes.
    pub fn new(store: &Path) -> Folder {
        Folder { path: store.join(BLOBS_FOLDER), changing: Mutex::new(()), next: AtomicU64::new(0) }
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
        let hash = copy_and_sum(content, &mut file)?;
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

impl Blobs for Folder {
    fn unnamed(&self) -> io::Result<File> {
        let path = self.partial()?;
        let file = files::create(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    fn is_nearly_full(&self) -> bool {
        let disk = Disk::of(&self.path);
        disk.free < disk.size / DISK_LEFT_PART
    }

    fn put(&self, content: &mut dyn Read) -> io::Result<Hash> {
        let partial = self.partial()?;
        self.put_at(&partial, content).inspect_err(|_| drop(fs::remove_file(&partial)))
    }

    fn open(&self, hash: &Hash) -> io::Result<Arc<dyn Blob>> {
        Ok(Arc::new(PlainFile::new(File::open(path_of(&self.path, hash))?)?))
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

/// Copies what `to` does not have yet of the blobs beside a store or in a backup; bytes that were copied. What is
/// removed meanwhile is left out. Both name the folder that [`BLOBS_FOLDER`] is in.
///
/// # Errors
/// Those of the disks; that a blob is damaged.
pub fn copy_missing(from: &Path, to: &Path) -> io::Result<u64> {
    let (source, mut len) = (from.join(BLOBS_FOLDER), 0);
    if !source.exists() {
        return Ok(0);
    }
    let target = Folder::new(to);
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
            len += file.metadata()?.len();
            if target.put(&mut file)? != hash {
                return Err(io::Error::other(format!("{} is damaged", path.display())));
            }
        }
    }
    Ok(len)
}

/// What is wrong with a blob that a record names; `None` when it is whole. `place` is the folder of a store or backup.
pub(super) fn check(place: &Path, hash: &Hash) -> Option<String> {
    let path = path_of(&place.join(BLOBS_FOLDER), hash);
    match sum_of(&path) {
        Ok(sum) if sum == *hash => None,
        Ok(_) => Some(format!("{} is not the file that was written", path.display())),
        Err(error) => Some(files::explain(&path, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};
    use std::io::Write as _;
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
        assert_eq!([check(to.path(), &first), check(to.path(), &second)], [None, None]);
        let path = path_of(&to.path().join(BLOBS_FOLDER), &first);
        fs::write(&path, "firsT").unwrap();
        assert!(check(to.path(), &first).unwrap().contains("not the file that was written"));
        fs::remove_file(&path).unwrap();
        assert!(check(to.path(), &first).unwrap().contains("No such file"));
        let source = path_of(&from.path().join(BLOBS_FOLDER), &first);
        fs::write(&source, "firsT").unwrap();
        let error = copy_missing(from.path(), to.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
    }
}
