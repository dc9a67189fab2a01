//! The server's own keys: a file beside the store, so that a copied store alone gives nothing away.
//!
//! Owns: `server.keys` in the data folder, a line `<number> <64 lower-case hex digits>` per key; the last one is used,
//! the others are kept for what was made with them, and a restore adds those of its backup. What is sealed begins with
//! the number of its key. Each use has a key of its own, made from the server's; a purpose and a context (whose it is)
//! are part of what is sealed, so that a value moved to another place is none.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use aes_gcm::aead::{Aead, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::records::Meta;
use super::sealing::Sealer;
use super::tables::{META, TWO_FACTORS};
use super::{Store, blobs, files, hex};

pub const KEYS_FILE: &str = "server.keys";
/// Keys that are not whole yet.
pub(super) const KEYS_PARTIAL_FILE: &str = "server.keys.partial";
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const KEY_COUNT_MAX: usize = 255;
/// So many keys: three digits, a blank, 64 digits and the end of the line, each.
const FILE_LEN_MAX: u64 = 69 * KEY_COUNT_MAX as u64;

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Secrets of one-time codes.
    TotpSecret,
    /// Codes for those who have lost their device.
    BackupCode,
    /// Tokens in mails that have not left.
    MailToken,
    /// Passkeys of those who have none.
    PasskeyDecoy,
    /// Words in an index for searching.
    SearchTerms,
    /// Keys of files of clients.
    MediaKey,
    /// Records, and the nonces of those.
    Records,
    RecordNonces,
    /// By what a key is known.
    Mark,
    /// Addresses of files that need no login for a time.
    MediaAddress,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::TotpSecret => b"plexichat totp secret",
            Purpose::BackupCode => b"plexichat backup code",
            Purpose::MailToken => b"plexichat mail token",
            Purpose::PasskeyDecoy => b"plexichat passkey decoy",
            Purpose::SearchTerms => b"plexichat search terms",
            Purpose::MediaKey => b"plexichat media key",
            Purpose::Records => b"plexichat records",
            Purpose::RecordNonces => b"plexichat record nonces",
            Purpose::Mark => b"plexichat key mark",
            Purpose::MediaAddress => b"plexichat media address",
        }
    }
}

#[derive(Clone)]
struct Key {
    number: u8,
    bytes: [u8; KEY_LEN],
}

impl Key {
    /// By what it is known: it tells nothing of it. Never 0 or 1.
    fn mark(&self) -> u64 {
        let bytes = derived(self, Purpose::Mark);
        u64::from_le_bytes(*bytes.first_chunk().expect("a key has 32 bytes")) | 2
    }
}

/// All keys of a server, shared by everybody in it.
pub struct Keyring {
    /// Never empty. Written when there is a new one, which happens about twice a year.
    keys: RwLock<Vec<Key>>,
}

/// A key as its operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    pub number: u8,
    pub mark: u64,
}

impl Keyring {
    /// Reads the keys of a data folder, and makes the first one where there is none.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn open(folder: &Path) -> Result<Keyring, String> {
        let path = folder.join(KEYS_FILE);
        if let Some(keyring) = Keyring::read(&path)? {
            return Ok(keyring);
        }
        let keyring = Keyring::new();
        keyring.write(&path).map_err(|error| files::explain(&path, &error))?;
        Ok(keyring)
    }

    /// `None` when there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Keyring>, String> {
        let mut text = String::new();
        let file = fs::File::open(path);
        match file.and_then(|file| file.take(FILE_LEN_MAX).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::explain(path, &error)),
        }
        let keyring = Keyring::parse(&text).ok_or_else(|| {
            format!("{} holds no keys of this server: put it back from a backup", path.display())
        });
        keyring.map(Some)
    }

    /// One new key.
    ///
    /// # Panics
    /// When the kernel gives no random bytes.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Keyring {
        Keyring::of(vec![Key { number: 1, bytes: random() }])
    }

    fn of(keys: Vec<Key>) -> Keyring {
        Keyring { keys: RwLock::new(keys) }
    }

    fn all(&self) -> RwLockReadGuard<'_, Vec<Key>> {
        self.keys.read().expect("nobody panics while holding it")
    }

    /// The keys, the one in use last.
    pub fn list(&self) -> Vec<KeyInfo> {
        self.all().iter().map(|key| KeyInfo { number: key.number, mark: key.mark() }).collect()
    }

    /// By what the newest key is known, when there are others; what lies under those may be brought to it.
    pub fn newest_of_several(&self) -> Option<u64> {
        let keys = self.all();
        keys.last().filter(|_| keys.len() > 1).map(Key::mark)
    }

    /// Makes a new key, which is in use from then on: durable in the folder before anything is made with it.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub(super) fn rotate(&self, folder: &Path) -> Result<KeyInfo, String> {
        let path = folder.join(KEYS_FILE);
        let mut keys = self.all().clone();
        let highest = keys.iter().map(|key| key.number).max().unwrap_or(0);
        let number = highest.checked_add(1).filter(|_| keys.len() < KEY_COUNT_MAX).ok_or_else(|| {
            format!("{} holds as many keys as there can be: {KEY_COUNT_MAX}", path.display())
        })?;
        let key = Key { number, bytes: random() };
        let made = KeyInfo { number, mark: key.mark() };
        keys.push(key);
        let new = Keyring::of(keys);
        new.write(&path).map_err(|error| files::explain(&path, &error))?;
        let keys = new.keys.into_inner().expect("nobody panics while holding it");
        *self.keys.write().expect("nobody panics while holding it") = keys;
        Ok(made)
    }

    #[cfg(test)]
    pub(super) fn add_for_tests(&self, number: u8, bytes: [u8; KEY_LEN]) {
        self.keys.write().unwrap().push(Key { number, bytes });
    }

    fn parse(text: &str) -> Option<Keyring> {
        let keys: Option<Vec<Key>> = text.lines().map(parse_key).collect();
        keys.filter(|keys| !keys.is_empty()).map(Keyring::of)
    }

    /// Durable, under its name only when whole.
    fn write(&self, path: &Path) -> io::Result<()> {
        let lines: String =
            self.all().iter().map(|key| format!("{} {}\n", key.number, hex::encode(&key.bytes))).collect();
        files::replace(path, &path.with_file_name(KEYS_PARTIAL_FILE), lines.as_bytes())
    }

    fn newest(&self) -> Key {
        self.all().last().expect("a keyring has a key").clone()
    }

    /// Encrypts; only with the same purpose and context it can be read again.
    ///
    /// # Panics
    /// When the kernel gives no random bytes.
    pub fn seal(&self, purpose: Purpose, context: u64, plain: &[u8]) -> Vec<u8> {
        self.seal_for(purpose, &context.to_be_bytes(), plain)
    }

    /// What was sealed; `None` when it was not, or with a key that is gone.
    pub fn unseal(&self, purpose: Purpose, context: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        self.unseal_for(purpose, &context.to_be_bytes(), sealed)
    }

    /// [`Keyring::seal`] for what has no number.
    pub fn seal_for(&self, purpose: Purpose, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = self.newest();
        let nonce: [u8; NONCE_LEN] = random();
        let payload = Payload { msg: plain, aad: context };
        let sealed = cipher(&key, purpose).encrypt(&Nonce::from(nonce), payload);
        [&[key.number][..], &nonce, &sealed.expect("short texts can be sealed")].concat()
    }

    /// Bytes of what so many become.
    pub const fn sealed_len(plain_len: usize) -> usize {
        1 + NONCE_LEN + plain_len + TAG_LEN
    }

    /// [`Keyring::unseal`] for what has no number.
    pub fn unseal_for(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let number = sealed.first()?;
        // Two stores that became one by a restore have a key of the same number each.
        let keys = self.all();
        let mut keys = keys.iter().filter(|key| key.number == *number);
        keys.find_map(|key| unseal_with(key, purpose, context, sealed))
    }

    /// Whether the newest key has sealed it.
    pub fn is_by_newest(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> bool {
        let key = self.newest();
        sealed.first() == Some(&key.number) && unseal_with(&key, purpose, context, sealed).is_some()
    }

    /// The same with one more.
    #[cfg(test)]
    pub fn with_new_key(&self) -> Keyring {
        let new = Key { number: self.newest().number + 1, bytes: random() };
        Keyring::of(self.all().iter().cloned().chain([new]).collect())
    }

    /// The key of one use, made from the newest of the server. It is another one once the server has a newer key: what
    /// is made with it has to be such that it can be made again, and says by which key it was made.
    pub fn derive(&self, purpose: Purpose) -> [u8; 32] {
        derived(&self.newest(), purpose)
    }

    /// The same for all keys of the server, with their numbers, the newest last.
    pub(super) fn derive_all(&self, purpose: Purpose) -> Vec<(u8, [u8; 32])> {
        self.all().iter().map(|key| (key.number, derived(key, purpose))).collect()
    }

    /// What stands for a short secret that need not be read again, under every key: the newest first.
    pub fn sums(&self, purpose: Purpose, context: u64, secret: &[u8]) -> Vec<[u8; 32]> {
        let sum = |key: &Key| {
            let mut mac = hmac(&derived(key, purpose));
            mac.update(&context.to_be_bytes());
            mac.update(secret);
            mac.finalize().into_bytes().into()
        };
        self.all().iter().rev().map(sum).collect()
    }
}

fn unseal_with(key: &Key, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.get(1..)?.split_first_chunk::<NONCE_LEN>()?;
    let payload = Payload { msg: sealed, aad: context };
    cipher(key, purpose).decrypt(&Nonce::from(*nonce), payload).ok()
}

fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes once it has booted");
    bytes
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key may have any length")
}

fn derived(key: &Key, purpose: Purpose) -> [u8; KEY_LEN] {
    let mut mac = hmac(&key.bytes);
    mac.update(purpose.label());
    mac.finalize().into_bytes().into()
}

fn cipher(key: &Key, purpose: Purpose) -> Aes256Gcm {
    Aes256Gcm::new(&derived(key, purpose).into())
}

fn parse_key(line: &str) -> Option<Key> {
    let (number, digits) = line.split_once(' ')?;
    let number = number.parse().ok().filter(|number| *number != 0)?;
    Some(Key { number, bytes: hex::decode(digits)? })
}

/// Adds the keys of one folder to those of another, durable and for their owner alone; none is taken away. True when
/// something was added.
///
/// # Errors
/// With the file and what is wrong with it.
pub(super) fn add_keys(from: &Path, to: &Path) -> Result<bool, String> {
    let target = to.join(KEYS_FILE);
    let Some(new) = Keyring::read(&from.join(KEYS_FILE))? else { return Ok(false) };
    let mut all = Keyring::read(&target)?.map_or(Vec::new(), |keyring| keyring.all().clone());
    let count = all.len();
    let new = new.all();
    let missing = new.iter().filter(|new| all.iter().all(|key| key.bytes != new.bytes));
    let missing: Vec<Key> = missing.cloned().collect();
    all.extend(missing);
    if all.len() > KEY_COUNT_MAX {
        return Err(format!("{} would hold more than {KEY_COUNT_MAX} keys", target.display()));
    }
    if all.len() == count {
        return Ok(false);
    }
    Keyring::of(all).write(&target).map_err(|error| files::explain(&target, &error))?;
    Ok(true)
}

/// Which key was the newest when the store was opened last; absent before it had one.
const MARK: &str = "record_key";

impl Store {
    /// The keys beside this store, made when there are none. From here on records that are sealed can be read, and with
    /// `seals` those of sealed tables are when they are written.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is missing, or not the one with which the store was written.
    pub fn unlock(&self, seals: bool) -> Result<Arc<Keyring>, String> {
        let (mark, sealed_count) = {
            let snapshot = self.snapshot();
            let mark = snapshot.read().get(META, MARK).map(|meta| meta.value.to_native());
            (mark, snapshot.read().len(TWO_FACTORS))
        };
        let path = self.path().join(KEYS_FILE);
        let are_files = || {
            let sealed = blobs::are_sealed(self.path());
            sealed.map_err(|error| format!("cannot look at the files of clients: {error}"))
        };
        if !path.exists() && (sealed_count > 0 || mark.is_some() || are_files()?) {
            return Err(format!(
                "{} is missing, and with it what people have written, the key to the files of clients, and the second \
                 factor of every account that has one: put it back from a backup; without it nobody can read them",
                path.display()
            ));
        }
        let keyring = Arc::new(Keyring::open(self.path())?);
        let keys = keyring.list();
        if mark.is_some_and(|mark| keys.iter().all(|key| key.mark != mark)) {
            return Err(format!(
                "{} is not the file with whose keys this store was written: put back the one that was beside it, from a \
                 backup; a restore adds the keys that it needs",
                path.display()
            ));
        }
        self.seal_with(Some(Arc::new(Sealer::new(&keyring, seals))));
        let newest = keys.last().expect("a keyring has a key").mark;
        if mark != Some(newest) {
            let write = || {
                let mut tx = self.begin()?;
                tx.put(META, MARK, &Meta { value: newest });
                tx.commit()
            };
            // A disk that is full is told of where changes are refused; the former mark names a key that is there.
            if let Err(error) = write()
                && mark.is_none()
            {
                return Err(self.unusable(&error.to_string()).0);
            }
        }
        Ok(keyring)
    }

    /// By what the key is known with which records are sealed when they are written; 0 when they are not.
    pub fn seal_mark(&self, keyring: &Keyring) -> u64 {
        if self.seals() { keyring.newest().mark() } else { 0 }
    }

    /// Makes a new key and has records sealed with it from now on. Waits for the disk.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn rotate(&self, keyring: &Keyring) -> Result<KeyInfo, String> {
        let made = keyring.rotate(self.path())?;
        self.seal_with(Some(Arc::new(Sealer::new(keyring, self.seals()))));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(folder.path()).unwrap();
        let sealed = keyring.seal(Purpose::TotpSecret, 7, b"secret");
        let again = Keyring::open(folder.path()).unwrap();
        assert_eq!(again.unseal(Purpose::TotpSecret, 7, &sealed).as_deref(), Some(&b"secret"[..]));
        let mode = fs::metadata(folder.path().join(KEYS_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_sealed_is_of_one_place_and_purpose() {
        let keyring = Keyring::new();
        let sealed = keyring.seal(Purpose::TotpSecret, 7, b"secret");
        assert_eq!(keyring.unseal(Purpose::TotpSecret, 8, &sealed), None);
        assert_eq!(keyring.unseal(Purpose::BackupCode, 7, &sealed), None);
        assert_eq!(Keyring::new().unseal(Purpose::TotpSecret, 7, &sealed), None);
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(keyring.unseal(Purpose::TotpSecret, 7, &other), None, "{at}");
            assert_eq!(keyring.unseal(Purpose::TotpSecret, 7, &sealed[..at]), None, "{at}");
        }
        assert_ne!(sealed, keyring.seal(Purpose::TotpSecret, 7, b"secret"));
        let sums = keyring.sums(Purpose::BackupCode, 7, b"ABCD1234");
        assert_eq!(sums, keyring.sums(Purpose::BackupCode, 7, b"ABCD1234"));
        assert_ne!(sums, keyring.sums(Purpose::BackupCode, 8, b"ABCD1234"));
    }

    #[test]
    fn each_use_has_a_key_of_its_own() {
        let keyring = Keyring::new();
        let key = keyring.derive(Purpose::SearchTerms);
        assert_eq!(key, keyring.derive(Purpose::SearchTerms));
        assert_ne!(key, keyring.derive(Purpose::TotpSecret));
        assert_ne!(key, keyring.newest().bytes);
        assert_ne!(key, Keyring::new().derive(Purpose::SearchTerms));
    }

    #[test]
    fn an_older_key_still_opens_what_it_has_sealed() {
        let old = Keyring::new();
        let sealed = old.seal(Purpose::TotpSecret, 7, b"secret");
        let code = old.sums(Purpose::BackupCode, 7, b"ABCD1234")[0];
        old.add_for_tests(2, [9; KEY_LEN]);
        let both = old;
        assert_eq!(both.unseal(Purpose::TotpSecret, 7, &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(both.seal(Purpose::TotpSecret, 7, b"secret")[0], 2);
        assert_eq!(
            both.sums(Purpose::BackupCode, 7, b"ABCD1234").iter().position(|sum| *sum == code),
            Some(1)
        );
    }

    #[test]
    fn a_new_key_is_on_disk_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(folder.path()).unwrap();
        let before = keyring.list();
        let sealed = keyring.seal(Purpose::TotpSecret, 7, b"secret");
        let made = keyring.rotate(folder.path()).unwrap();
        assert_eq!((before.len(), made.number), (1, 2));
        assert_eq!(keyring.list(), [before[0], made]);
        let again = Keyring::open(folder.path()).unwrap();
        assert_eq!(again.list(), keyring.list());
        assert_eq!(again.unseal(Purpose::TotpSecret, 7, &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(again.seal(Purpose::TotpSecret, 7, b"secret")[0], 2);
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(keyring.rotate(folder.path()).is_err());
        assert_eq!(keyring.list().len(), 2, "what is not on disk is not used");
    }

    #[test]
    fn other_files_are_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        for text in
            ["", "1", "1 abc", "x 00", &format!("300 {}", "0".repeat(64)), &format!("0 {}", "0".repeat(64))]
        {
            fs::write(folder.path().join(KEYS_FILE), text).unwrap();
            assert!(Keyring::open(folder.path()).err().unwrap().contains("holds no keys"), "{text}");
            assert_eq!(fs::read_to_string(folder.path().join(KEYS_FILE)).unwrap(), text);
        }
    }

    /// A restore brings keys before records: whichever store a kill leaves, its secrets open.
    #[test]
    fn keys_that_are_added_take_none_away() {
        let (live, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let seal = |folder: &Path| Keyring::open(folder).unwrap().seal(Purpose::TotpSecret, 7, b"secret");
        assert_eq!(add_keys(copy.path(), live.path()), Ok(false), "there are none");
        let of_copy = seal(copy.path());
        assert_eq!(add_keys(copy.path(), live.path()), Ok(true), "into a folder without keys");
        assert_eq!(seal(live.path())[0], of_copy[0]);
        fs::remove_file(live.path().join(KEYS_FILE)).unwrap();
        let of_live = seal(live.path());
        let opens = |sealed: &[u8]| {
            Keyring::open(live.path()).unwrap().unseal(Purpose::TotpSecret, 7, sealed).is_some()
        };
        assert!(opens(&of_live) && !opens(&of_copy));
        assert_eq!(add_keys(copy.path(), live.path()), Ok(true));
        assert!(opens(&of_live) && opens(&of_copy), "two first keys");
        let text = || fs::read_to_string(live.path().join(KEYS_FILE)).unwrap();
        let before = text();
        assert_eq!(add_keys(copy.path(), live.path()), Ok(false), "they are there");
        assert_eq!(add_keys(live.path(), live.path()), Ok(false));
        assert_eq!((text(), before.lines().count()), (before.clone(), 2));
    }

    #[test]
    fn more_keys_than_can_be_read_again_are_not_written() {
        let (live, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lines = |keys: std::ops::Range<usize>| keys.map(|n| format!("1 {n:064x}\n")).collect::<String>();
        fs::write(live.path().join(KEYS_FILE), lines(0..KEY_COUNT_MAX)).unwrap();
        fs::write(copy.path().join(KEYS_FILE), lines(1..KEY_COUNT_MAX + 1)).unwrap();
        assert_eq!(Keyring::open(live.path()).unwrap().list().len(), KEY_COUNT_MAX);
        assert!(add_keys(copy.path(), live.path()).unwrap_err().contains("more than"));
        assert_eq!(fs::read_to_string(live.path().join(KEYS_FILE)).unwrap(), lines(0..KEY_COUNT_MAX));
    }
}
