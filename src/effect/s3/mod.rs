//! Files of clients in object storage that speaks S3's protocol.
//!
//! Each is an object `<prefix>ab/cdef…`, named as in a folder of blobs, and sealed like there. On its way in it lies in
//! that folder without a name, so the storage sees nothing but whole files: a long one goes in parts, which become an
//! object at the end or are given up. Files that lie in the folder from before stay there, and are read from it.
//!
//! Everything here waits for a network: it is called on the lane of the disk.

mod client;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::MediaS3;
use crate::limits::{KIB, MIB};
use crate::store::blobs::{Blob, Blobs, Folder, Hash, Rewrapped, YOUNG};
use crate::store::keyring::Keyring;
use crate::store::{hex, sealed};

use client::{Client, Piece};

/// A longer file goes in parts of so much: as many as there may be are 156 GiB.
const PART_LEN: u64 = 16 * MIB as u64;
/// What is asked for when a blob is opened: all of a short one, and what its seal is read from.
const FRONT_LEN: usize = 65 * KIB;
/// Objects of a shelf that are looked at by one collection, and by one step of putting keys under a newer one.
const COLLECT_COUNT: usize = 1_000;
const REWRAP_COUNT: usize = 16;

pub struct S3 {
    client: Arc<Client>,
    /// What is on its way in, and what was there before.
    folder: Folder,
    keys: Arc<Keyring>,
    prefix: String,
    part_len: u64,
    changes: Mutex<Changes>,
    removed: Condvar,
    /// Where the next collection of a shelf goes on.
    collected: Mutex<HashMap<u16, String>>,
}

/// Between the look at an object's age and its removal nobody puts it anew.
#[derive(Default)]
struct Changes {
    put: HashMap<Hash, Instant>,
    removing: Option<Hash>,
}

impl S3 {
    /// `store`: the folder of the store. `seals`: whether new files are encrypted.
    ///
    /// # Errors
    /// In words: the options name no bucket, or the storage does not let this server in. That it is away is none: it may
    /// come.
    pub fn open(options: &MediaS3, store: &Path, keys: Arc<Keyring>, seals: bool) -> Result<S3, String> {
        let s3 = S3 {
            client: Arc::new(Client::new(options)?),
            folder: Folder::with_keys(store, keys.clone(), seals),
            keys,
            prefix: options.prefix.clone(),
            part_len: PART_LEN,
            changes: Mutex::default(),
            removed: Condvar::new(),
            collected: Mutex::default(),
        };
        match s3.client.list(&s3.prefix, None, 1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(format!("media.s3: {error}: check endpoint, bucket, region and keys")),
        }
        let place =
            format!("{}/{}/{}\n", options.endpoint.trim_end_matches('/'), options.bucket, options.prefix);
        s3.folder
            .note_elsewhere(&place)
            .map_err(|error| format!("cannot write to the folder of files: {error}"))?;
        Ok(s3)
    }

    fn key(&self, hash: &Hash) -> String {
        let name = hex::encode(hash);
        format!("{}{}/{}", self.prefix, &name[..2], &name[2..])
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().expect("nothing panics while it is held")
    }

    /// It is young from now on; a removal that is under way is waited for.
    fn begin_put(&self, hash: &Hash) {
        let removing = |changes: &mut Changes| changes.removing == Some(*hash);
        let changes = self.removed.wait_while(self.changes(), removing);
        let mut changes = changes.expect("nothing panics while it is held");
        changes.put.retain(|_, since| since.elapsed() < YOUNG);
        changes.put.insert(*hash, Instant::now());
    }

    /// Whether it may be removed now; [`S3::end_remove`] has to follow.
    fn begin_remove(&self, hash: &Hash) -> bool {
        let mut changes = self.changes();
        let is_young = changes.put.get(hash).is_some_and(|since| since.elapsed() < YOUNG);
        if !is_young {
            changes.removing = Some(*hash);
        }
        !is_young
    }

    fn end_remove(&self) {
        self.changes().removing = None;
        self.removed.notify_all();
    }

    /// Sends a file as it lies there.
    fn upload(&self, hash: &Hash, file: &File) -> io::Result<()> {
        let (key, len) = (self.key(hash), file.metadata()?.len());
        self.begin_put(hash);
        if len <= self.part_len {
            return self.client.put(&key, Piece { file, at: 0, len });
        }
        let upload = self.client.begin(&key)?;
        let note = upload_name(&upload);
        // Found again by the next start when this one is killed.
        let noted = self.folder.note(&note, &format!("{key}\n{upload}"));
        let sent = noted.and_then(|()| self.send_parts(&key, &upload, file, len));
        self.begin_put(hash);
        if sent.is_ok() || self.client.abort(&key, &upload).is_ok() {
            self.folder.forget(&note);
        }
        sent
    }

    fn send_parts(&self, key: &str, upload: &str, file: &File, len: u64) -> io::Result<()> {
        let mut parts = Vec::new();
        for number in
            1..=u16::try_from(len.div_ceil(self.part_len)).map_err(|_| io::ErrorKind::FileTooLarge)?
        {
            let at = u64::from(number - 1) * self.part_len;
            let piece = Piece { file, at, len: self.part_len.min(len - at) };
            parts.push(self.client.send_part(key, upload, number, piece)?);
        }
        self.client.complete(key, upload, &parts)
    }

    fn raw(&self, hash: &Hash) -> io::Result<Object> {
        let key = self.key(hash);
        let front = self.client.get(&key, 0, FRONT_LEN)?;
        Ok(Object { client: self.client.clone(), key, front: front.bytes, len: front.len })
    }

    /// Puts an object anew under the newest key. False: it is under that, or not sealed.
    fn rewrap_object(&self, hash: &Hash) -> io::Result<bool> {
        let object = self.raw(hash)?;
        let file = self.folder.unnamed()?;
        let (mut at, mut piece) = (0, vec![0; PART_LEN as usize]);
        // The header alone tells whether there is anything to do.
        let front = object.front.len();
        (&file).write_all(&object.front)?;
        if !sealed::rewrap(&file, &self.keys, hash)? {
            return Ok(false);
        }
        at += front as u64;
        while at < object.len {
            let len = (object.len - at).min(PART_LEN) as usize;
            object.read_exact_at(&mut piece[..len], at)?;
            (&file).write_all(&piece[..len])?;
            at += len as u64;
        }
        self.upload(hash, &file)?;
        Ok(true)
    }

    /// A page of the objects of a shelf, behind one of them.
    fn page(&self, shelf: u16, after: Option<&str>, count_max: usize) -> io::Result<Page> {
        let prefix = format!("{}{shelf:02x}/", self.prefix);
        let listed = self.client.list(&prefix, after, count_max)?;
        let last = listed.contents.last().map(|object| object.key.clone());
        let next = last.filter(|_| listed.next_continuation_token.is_some());
        // Whatever else lies there is nobody's business here.
        let named = listed.contents.into_iter().filter_map(|object| {
            let rest = object.key.strip_prefix(&prefix)?;
            let hash = hex::decode(&format!("{shelf:02x}{rest}"))?;
            Some(Found { hash, key: object.key, since: object.last_modified })
        });
        Ok(Page { found: named.collect(), next })
    }
}

impl Blobs for S3 {
    fn unnamed(&self) -> io::Result<File> {
        self.folder.unnamed()
    }

    fn is_nearly_full(&self) -> bool {
        self.folder.is_nearly_full()
    }

    fn put(&self, content: &mut dyn Read) -> io::Result<Hash> {
        let mut file = self.folder.unnamed()?;
        let hash = self.folder.write(content, &mut file)?;
        self.upload(&hash, &file)?;
        Ok(hash)
    }

    fn open(&self, hash: &Hash) -> io::Result<Arc<dyn Blob>> {
        if self.folder.has(hash) {
            return self.folder.open(hash);
        }
        sealed::open(Arc::new(self.raw(hash)?), Some(&self.keys), hash)
    }

    /// Gives up what a crash has left half sent.
    fn clear(&self) -> io::Result<()> {
        self.folder.clear()?;
        for (name, text) in self.folder.notes()? {
            if text.split_once('\n').is_none_or(|(key, upload)| self.client.abort(key, upload).is_ok()) {
                self.folder.forget(&name);
            }
        }
        Ok(())
    }

    fn collect(&self, shelf: u16, is_named: &dyn Fn(&Hash) -> bool) -> io::Result<u64> {
        let mut count = self.folder.collect(shelf, is_named)?;
        let after = self.collected.lock().expect("nothing panics while it is held").remove(&shelf);
        let page = self.page(shelf, after.as_deref(), COLLECT_COUNT)?;
        let old = spelled(SystemTime::now() - YOUNG);
        for Found { hash, key, since } in &page.found {
            // One whose age is not told is young.
            let is_old = since.as_ref().is_some_and(|since| since.as_str() < old.as_str());
            if !is_old || is_named(hash) || !self.begin_remove(hash) {
                continue;
            }
            let removed = self.client.delete(key);
            self.end_remove();
            removed?;
            count += 1;
        }
        if let Some(next) = page.next {
            self.collected.lock().expect("nothing panics while it is held").insert(shelf, next);
        }
        Ok(count)
    }

    fn rewrap(&self, shelf: u16, after: Option<Hash>) -> io::Result<Rewrapped> {
        let mut done = self.folder.rewrap(shelf, after)?;
        let page = self.page(shelf, after.map(|after| self.key(&after)).as_deref(), REWRAP_COUNT)?;
        for Found { hash, .. } in &page.found {
            match self.rewrap_object(hash) {
                Ok(is_new) => done.count += u64::from(is_new),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(hash = hex::encode(hash), %error, "a file of a client cannot be opened");
                    done.damaged += 1;
                }
                Err(error) => return Err(error),
            }
        }
        // The one that is less far says where both go on.
        let last = page.found.last().filter(|_| page.next.is_some()).map(|found| found.hash);
        done.next = match (done.next, last) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Ok(done)
    }
}

/// Some objects of a shelf.
struct Page {
    found: Vec<Found>,
    /// The name behind which the next page begins.
    next: Option<String>,
}

struct Found {
    hash: Hash,
    key: String,
    /// When it was put there.
    since: Option<String>,
}

/// An object, as it lies in the storage.
struct Object {
    client: Arc<Client>,
    key: String,
    /// Its beginning: all of a short one.
    front: Vec<u8>,
    len: u64,
}

impl Blob for Object {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let end = at.checked_add(out.len() as u64).filter(|end| *end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if end <= self.front.len() as u64 {
            out.copy_from_slice(&self.front[at as usize..end as usize]);
            return Ok(());
        }
        let part = self.client.get(&self.key, at, out.len())?;
        if part.bytes.len() < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.copy_from_slice(&part.bytes);
        Ok(())
    }
}

/// A file name for what names an upload.
fn upload_name(upload: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(&Sha256::digest(upload)[..16])
}

/// As listings spell when an object was changed: `2026-11-27T12:00:00`; what is earlier sorts before it.
fn spelled(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    // Days of years that begin in March (Hinnant, "chrono-compatible low-level date algorithms").
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
