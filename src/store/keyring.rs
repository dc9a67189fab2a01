//! The server's own keys: a file beside the store, so that a copied store alone gives nothing away.
//!
//! Owns: `server.keys` in the data folder, a line `<number> <64 hex digits>` per key; the last one is used, the others
//! are kept for what was made with them. What is sealed begins with the number of its key. Each use has a key of its
//! own, made from the server's; a purpose and a context (whose it is) are part of what is sealed, so that a value moved
//! to another place is none.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::tables::TWO_FACTORS;
use super::{DATA_FILE, Store, files};

pub const KEYS_FILE: &str = "server.keys";
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
/// 255 keys and a bit.
const FILE_LEN_MAX: u64 = 32 * 1024;

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Secrets of one-time codes.
    TotpSecret,
    /// Codes for those who have lost their device.
    BackupCode,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::TotpSecret => b"plexichat totp secret",
            Purpose::BackupCode => b"plexichat backup code",
        }
    }
}

struct Key {
    number: u8,
    bytes: [u8; KEY_LEN],
}

pub struct Keyring {
    /// Never empty.
    keys: Vec<Key>,
}

impl Keyring {
    /// Reads the keys of a data folder, and makes the first one where there is none.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn open(folder: &Path) -> Result<Keyring, String> {
        let path = folder.join(KEYS_FILE);
        match read(&path) {
            Ok(text) => Keyring::parse(&text).ok_or_else(|| {
                format!("{} holds no keys of this server: put it back from a backup", path.display())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let keyring = Keyring::new();
                keyring.write(&path).map_err(|error| files::explain(&path, &error))?;
                Ok(keyring)
            }
            Err(error) => Err(files::explain(&path, &error)),
        }
    }

    /// One new key.
    ///
    /// # Panics
    /// When the kernel gives no random bytes.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Keyring {
        let mut bytes = [0; KEY_LEN];
        getrandom::fill(&mut bytes).expect("the kernel gives random bytes once it has booted");
        Keyring { keys: vec![Key { number: 1, bytes }] }
    }

    fn parse(text: &str) -> Option<Keyring> {
        let keys: Option<Vec<Key>> = text.lines().map(parse_key).collect();
        Some(Keyring { keys: keys.filter(|keys| !keys.is_empty())? })
    }

    /// Durable, under its name only when whole.
    fn write(&self, path: &Path) -> io::Result<()> {
        let partial = with_suffix(path, ".partial");
        let mut file = files::create(&partial)?;
        for key in &self.keys {
            let hex: String = key.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(file, "{} {hex}", key.number)?;
        }
        file.sync_all()?;
        fs::rename(&partial, path)?;
        files::sync_folder(files::folder_of(path))
    }

    fn newest(&self) -> &Key {
        self.keys.last().expect("a keyring has a key")
    }

    /// Encrypts; only with the same purpose and context it can be read again.
    ///
    /// # Panics
    /// When the kernel gives no random bytes.
    pub fn seal(&self, purpose: Purpose, context: u64, plain: &[u8]) -> Vec<u8> {
        let key = self.newest();
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).expect("the kernel gives random bytes once it has booted");
        let payload = Payload { msg: plain, aad: &context.to_be_bytes() };
        let sealed = cipher(key, purpose).encrypt(&Nonce::from(nonce), payload);
        [&[key.number][..], &nonce, &sealed.expect("short texts can be sealed")].concat()
    }

    /// What was sealed; `None` when it was not, or with a key that is gone.
    pub fn unseal(&self, purpose: Purpose, context: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        let (number, rest) = sealed.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.keys.iter().find(|key| key.number == *number)?;
        let payload = Payload { msg: sealed, aad: &context.to_be_bytes() };
        cipher(key, purpose).decrypt(&Nonce::from(*nonce), payload).ok()
    }

    /// What stands for a short secret that need not be read again, under every key: the newest first.
    pub fn sums(&self, purpose: Purpose, context: u64, secret: &[u8]) -> Vec<[u8; 32]> {
        let sum = |key: &Key| {
            let mut mac = hmac(&derived(key, purpose));
            mac.update(&context.to_be_bytes());
            mac.update(secret);
            mac.finalize().into_bytes().into()
        };
        self.keys.iter().rev().map(sum).collect()
    }
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
    let (number, hex) = line.split_once(' ')?;
    let mut bytes = [0; KEY_LEN];
    if hex.len() != 2 * KEY_LEN || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(Key { number: number.parse().ok()?, bytes })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_LEN_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The keys that belong to a data file: `data.mdb` has `server.keys`, and one that was put aside by a restore has those
/// with the same ending.
fn keys_of(data_file: &Path) -> PathBuf {
    let name = data_file.file_name().unwrap_or_default().to_string_lossy();
    let ending = name.strip_prefix(DATA_FILE).unwrap_or_default();
    data_file.with_file_name(format!("{KEYS_FILE}{ending}"))
}

/// Copies the keys of one data file to another, durable and for their owner alone. Other keys that are there are put
/// aside as those of `previous`. True when something was copied.
///
/// # Errors
/// With the file and what is wrong with it.
pub(super) fn copy_keys(from: &Path, to: &Path, previous: Option<&Path>) -> Result<bool, String> {
    let (source, target) = (keys_of(from), keys_of(to));
    let text = match read(&source) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(files::explain(&source, &error)),
    };
    let keyring = Keyring::parse(&text).ok_or_else(|| format!("{} holds no keys", source.display()))?;
    if target.exists() {
        if read(&target).is_ok_and(|there| there == text) {
            return Ok(false);
        }
        let kept = keys_of(previous.unwrap_or(&with_suffix(to, ".before-restore")));
        if kept.exists() {
            return Err(format!("{} is in the way; move it to where you keep such files", kept.display()));
        }
        fs::rename(&target, &kept).map_err(|error| files::explain(&kept, &error))?;
    }
    keyring.write(&target).map_err(|error| files::explain(&target, &error))?;
    Ok(true)
}

impl Store {
    /// The keys beside this store, made when there are none.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is missing although the store holds what was sealed with it.
    pub fn keys(&self) -> Result<Keyring, String> {
        if !self.path().join(KEYS_FILE).exists() && self.snapshot().read().len(TWO_FACTORS) > 0 {
            return Err(format!(
                "{} is missing, and with it the second factor of every account that has one: put it back from a \
                 backup; without it those accounts cannot log in",
                self.path().join(KEYS_FILE).display()
            ));
        }
        Keyring::open(self.path())
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
    fn an_older_key_still_opens_what_it_has_sealed() {
        let old = Keyring::new();
        let sealed = old.seal(Purpose::TotpSecret, 7, b"secret");
        let code = old.sums(Purpose::BackupCode, 7, b"ABCD1234")[0];
        let mut keys = old.keys;
        keys.push(Key { number: 2, bytes: [9; KEY_LEN] });
        let both = Keyring { keys };
        assert_eq!(both.unseal(Purpose::TotpSecret, 7, &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(both.seal(Purpose::TotpSecret, 7, b"secret")[0], 2);
        assert_eq!(
            both.sums(Purpose::BackupCode, 7, b"ABCD1234").iter().position(|sum| *sum == code),
            Some(1)
        );
    }

    #[test]
    fn other_files_are_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "1", "1 abc", "x 00", &format!("300 {}", "0".repeat(64)), &"0".repeat(65)] {
            fs::write(folder.path().join(KEYS_FILE), text).unwrap();
            assert!(Keyring::open(folder.path()).err().unwrap().contains("holds no keys"), "{text}");
            assert_eq!(fs::read_to_string(folder.path().join(KEYS_FILE)).unwrap(), text);
        }
    }

    #[test]
    fn keys_go_with_a_copy_and_others_are_put_aside() {
        let (live, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [data, backup] = [&live, &copy].map(|folder| folder.path().join(DATA_FILE));
        assert_eq!(copy_keys(&data, &backup, None), Ok(false), "there are none");
        let keyring = Keyring::open(live.path()).unwrap();
        let sealed = keyring.seal(Purpose::TotpSecret, 7, b"secret");
        let opens = || Keyring::open(live.path()).unwrap().unseal(Purpose::TotpSecret, 7, &sealed).is_some();
        assert_eq!(copy_keys(&data, &backup, None), Ok(true));
        assert_eq!(copy_keys(&backup, &data, None), Ok(false), "they are there");
        fs::remove_file(live.path().join(KEYS_FILE)).unwrap();
        Keyring::open(live.path()).unwrap();
        assert!(!opens());
        let aside = live.path().join("data.mdb.before-restore.2");
        assert_eq!(copy_keys(&backup, &data, Some(&aside)), Ok(true));
        assert!(opens() && live.path().join("server.keys.before-restore.2").exists());
        // And back.
        let again = live.path().join("data.mdb.before-restore.3");
        assert_eq!(copy_keys(&aside, &data, Some(&again)), Ok(true));
        assert!(!opens() && live.path().join("server.keys.before-restore.3").exists());
    }
}
