//! Argon2id, on threads of its own.
//!
//! Owns: the memory and the processor time that passwords may take: `encryption.argon2.workers` × (64 MiB and one hash
//! at a time). Invariants:
//! - Workers run at nice 19: under a storm of logins a core thread that wakes goes first, logins wait.
//!   With parallelism > 1 the lanes of a hash run on rayon's global pool, whose threads inherit the niceness of the
//!   worker that first uses it. (A panic on one of those is not a job's: it ends the process.)
//! - A password is overwritten in memory when its job ends, whichever way.
//! - Passwords are normalised here and nowhere else, so that no way in can forget it. A hash from before that is
//!   found by one more verification of the older spelling, where there is one.
//! - Equal time for unknown users: a [`Verify`] without a hash takes as long as one with.

use std::cell::RefCell;

use argon2::{Algorithm, Argon2, Block, PasswordHash, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use super::lane::{Effect, Row};
use crate::config::EncryptionArgon2;
use crate::runtime::wipe::{wipe, wiping};
use crate::text::password::{normalise, older};

pub static LANE: Row = Row {
    name: "password",
    threads: |config| config.encryption_argon2.workers as usize,
    queue_len_max: |config| config.encryption_argon2.queue_len_max as usize,
    // A core thread that wakes beside hashing waits 4 ms (p99) at nice 5, and 0.1 ms at 19. Not `SCHED_IDLE`: it does
    // no better, and where others keep the processors busy it gets next to nothing, so that nobody could log in.
    niceness: 19,
    full: "The server is busy; try again in a moment",
};

/// Contract: 16-byte salt, 32-byte hash.
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// A stored hash asking for more is refused instead of computed: 1 GiB, 64 passes, 64 lanes.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const TIME_MAX: u32 = 64;
const PARALLELISM_MAX: u32 = 64;

thread_local! {
    /// What a worker hashes in: it takes it with its first job and keeps it.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// The cost of a new hash. Contract defaults: 2 passes, 65,536 KiB, 2 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    pub time: u32,
    pub memory_kib: u32,
    pub parallelism: u32,
}

/// Why a hash could not be made.
#[derive(Debug)]
pub enum Error {
    /// Memory, passes or lanes outside what Argon2 or this server allows.
    Params,
    /// The kernel gave no randomness for the salt.
    Random,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Error::Params => {
                "encryption.argon2.memory_kib, time_cost and parallelism do not go together: at least 8 KiB per lane"
            }
            Error::Random => "the kernel gives no random bytes",
        })
    }
}

/// The PHC string of a password, with a fresh salt.
pub struct Hash {
    params: Params,
    password: Secret,
}

impl Hash {
    pub fn new(params: Params, password: String) -> Hash {
        Hash { params, password: Secret::new(password) }
    }
}

impl Effect for Hash {
    type Answer = Result<String, Error>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Result<String, Error> {
        let Hash { params, password } = self;
        in_memory(params, |memory| wiping(true, move || hash(params, password.normal().bytes(), memory)))
    }
}

/// Whether a password matches a PHC string, with the parameters in it, not the configured ones: false for a wrong
/// password, and for a string that is no Argon2id hash within bounds.
pub struct Verify {
    params: Params,
    password: Secret,
    phc: Option<String>,
}

impl Verify {
    /// Without a PHC string the same work is done, at the configured cost, and the answer is no.
    pub fn new(params: Params, password: String, phc: Option<String>) -> Verify {
        Verify { params, password: Secret::new(password), phc }
    }
}

impl Effect for Verify {
    type Answer = bool;
    const LANE: &'static Row = &LANE;

    fn run(self) -> bool {
        let Verify { params, password, phc } = self;
        let is_known = phc.is_some();
        // Never matched: what it was made of is not known, and it costs as much to refuse.
        let phc = phc.unwrap_or_else(|| encode(params, &[0; SALT_LEN], &[0; HASH_LEN]));
        let matches = in_memory(params, |memory| {
            wiping(true, move || {
                let mut matches = |password: Secret| verify(&phc, password.bytes(), memory);
                matches(password.normal()) || password.older().is_some_and(matches)
            })
        });
        matches && is_known
    }
}

fn in_memory<T>(params: Params, work: impl FnOnce(&mut Vec<Block>) -> T) -> T {
    MEMORY.with_borrow_mut(|memory| {
        let outcome = work(memory);
        trim(params, memory);
        outcome
    })
}

fn hash(params: Params, password: &[u8], memory: &mut Vec<Block>) -> Result<String, Error> {
    let salt = random::<SALT_LEN>()?;
    let mut output = [0; HASH_LEN];
    params.derive(password, &salt, &mut output, memory)?;
    Ok(encode(params, &salt, &output))
}

fn verify(phc: &str, password: &[u8], memory: &mut Vec<Block>) -> bool {
    let Some((params, salt, want)) = decode(phc) else { return false };
    let mut output = vec![0; want.len()];
    params.derive(password, &salt, &mut output, memory).is_ok() && bool::from(output.ct_eq(&want))
}

impl Params {
    /// Those of the configuration.
    pub fn of(argon2: &EncryptionArgon2) -> Params {
        Params {
            time: argon2.time_cost as u32,
            memory_kib: argon2.memory_kib as u32,
            parallelism: argon2.parallelism as u32,
        }
    }

    /// # Errors
    /// They do not go together.
    pub fn check(self) -> Result<argon2::Params, Error> {
        if self.memory_kib > MEMORY_KIB_MAX || self.time > TIME_MAX || self.parallelism > PARALLELISM_MAX {
            return Err(Error::Params);
        }
        argon2::Params::new(self.memory_kib, self.time, self.parallelism, None).map_err(|_| Error::Params)
    }

    /// Fills `output` (4 bytes or more). `memory` grows to what is needed and is used again as it is: Argon2
    /// writes every block before it reads it.
    fn derive(
        self,
        password: &[u8],
        salt: &[u8],
        output: &mut [u8],
        memory: &mut Vec<Block>,
    ) -> Result<(), Error> {
        let params = self.check()?;
        let block_count = params.block_count();
        if memory.len() < block_count {
            memory.resize(block_count, Block::new());
        }
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password, salt, output, memory)
            .map_err(|_| Error::Params)
    }
}

/// Gives back what a stored hash of a larger, older configuration needed.
fn trim(params: Params, memory: &mut Vec<Block>) {
    let block_count = params.memory_kib as usize;
    if memory.len() > block_count {
        memory.truncate(block_count);
        memory.shrink_to_fit();
    }
}

/// `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, base64 without padding.
fn encode(params: Params, salt: &[u8], hash: &[u8]) -> String {
    let Params { time, memory_kib, parallelism } = params;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("$argon2id$v=19$m={memory_kib},t={time},p={parallelism}${salt}${hash}")
}

fn decode(phc: &str) -> Option<(Params, Vec<u8>, Vec<u8>)> {
    let parsed = PasswordHash::new(phc).ok()?;
    if parsed.algorithm.as_str() != "argon2id" || parsed.version != Some(19) {
        return None;
    }
    let number = |name| parsed.params.get_decimal(name);
    let params = Params { time: number("t")?, memory_kib: number("m")?, parallelism: number("p")? };
    Some((params, parsed.salt?.to_vec(), parsed.hash?.as_bytes().to_vec()))
}

fn random<const LEN: usize>() -> Result<[u8; LEN], Error> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// A password's bytes, overwritten when dropped. Copies made before it came here are the caller's.
struct Secret(Vec<u8>);

impl Secret {
    fn new(password: String) -> Self {
        Self(password.into_bytes())
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The spelling that is hashed.
    fn normal(&self) -> Secret {
        Secret::new(normalise(self.text()).into_owned())
    }

    /// The spelling that may have been hashed before.
    fn older(&self) -> Option<Secret> {
        older(self.text()).map(Secret::new)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("it was made from a String")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The PHC string of a password from before passwords were normalised.
#[cfg(test)]
pub fn hash_as_typed(password: &str) -> String {
    let params = Params { time: 1, memory_kib: 8, parallelism: 1 };
    hash(params, password.as_bytes(), &mut Vec::new()).expect("the parameters go together")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Params = Params { time: 1, memory_kib: 64, parallelism: 1 };

    fn hashed(password: &str) -> String {
        Hash::new(CHEAP, password.into()).run().unwrap()
    }

    fn matches(password: &str, phc: &str) -> bool {
        Verify::new(CHEAP, password.into(), Some(phc.into())).run()
    }

    #[test]
    fn hashes_verify_and_differ() {
        let (first, second) = (hashed("CorrectHorse1!"), hashed("CorrectHorse1!"));
        assert!(first.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{first}");
        assert_ne!(first, second, "salted");
        assert!(matches("CorrectHorse1!", &first));
        assert!(!matches("correctHorse1!", &first));
        assert!(!Verify::new(CHEAP, "CorrectHorse1!".into(), None).run());
    }

    #[test]
    fn a_password_is_the_same_from_every_keyboard() {
        let (composed, decomposed) = ("Caf\u{e9}Horse1!", "Cafe\u{301}Horse1!");
        let phc = hashed(decomposed);
        for typed in [composed, decomposed] {
            assert!(matches(typed, &phc), "{typed:?}");
        }
        assert!(!matches("CafeHorse1!", &phc));
        // Hashes from before passwords were normalised.
        let mut memory = Vec::new();
        for old in [composed, decomposed, "no\u{a0}break"] {
            let phc = hash(CHEAP, old.as_bytes(), &mut memory).unwrap();
            assert!(matches(old, &phc), "{old:?}");
        }
        let phc = hash(CHEAP, decomposed.as_bytes(), &mut memory).unwrap();
        assert!(matches(composed, &phc));
    }

    #[test]
    fn other_parameters_come_from_the_string() {
        // Made by the crate's own PHC code, which must agree with ours.
        use argon2::{PasswordHasher, PasswordVerifier};
        let larger = Argon2::from(argon2::Params::new(256, 2, 2, None).unwrap());
        let phc = larger.hash_password_with_salt(b"secret", b"0123456789abcdef").unwrap().to_string();
        assert!(matches("secret", &phc));
        assert!(!matches("secres", &phc));
        let ours = hashed("secret");
        assert!(larger.verify_password(b"secret", &PasswordHash::new(&ours).unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        let mut memory = Vec::new();
        for phc in [
            "",
            "plain",
            "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg",
            "$argon2i$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
            "$argon2id$v=19$m=4294967295,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
            "$argon2id$v=19$m=64,t=4294967295,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
            "$argon2id$v=19$m=1,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
        ] {
            assert!(!verify(phc, b"", &mut memory), "{phc}");
            assert!(memory.is_empty(), "no memory taken for {phc}");
        }
    }

    #[test]
    fn memory_is_kept_at_the_configured_size() {
        let mut memory = Vec::new();
        hash(CHEAP, b"x", &mut memory).unwrap();
        let start = memory.as_ptr();
        let phc = hash(CHEAP, b"y", &mut memory).unwrap();
        assert!(verify(&phc, b"y", &mut memory), "dirty memory is no matter");
        assert_eq!((memory.as_ptr(), memory.len()), (start, 64));
        hash(Params { memory_kib: 256, ..CHEAP }, b"x", &mut memory).unwrap();
        trim(CHEAP, &mut memory);
        assert_eq!((memory.len(), memory.capacity()), (64, 64));
    }

    #[test]
    fn unusable_parameters_do_not_start() {
        for params in [
            Params { memory_kib: 0, ..CHEAP },
            Params { time: 0, ..CHEAP },
            Params { parallelism: 0, ..CHEAP },
            Params { memory_kib: MEMORY_KIB_MAX + 1, ..CHEAP },
            Params { parallelism: 16, ..CHEAP },
        ] {
            assert!(matches!(params.check(), Err(Error::Params)), "{params:?}");
        }
    }
}
