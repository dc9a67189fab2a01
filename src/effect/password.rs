//! Argon2id on a few threads of its own.
//!
//! Owns: the memory and the processor time that passwords may take: `workers` × (64 MiB and one hash at a
//! time). Invariants:
//! - Handing a password over never blocks: a core thread puts it into one bounded `sync_channel`, whose `try_send`
//!   is lock-free but for waking the thread behind it. That thread never hashes; it sorts the jobs into [`Turns`].
//! - Nobody waits for others' storms: networks take turns, and within a network its accounts. When too many wait,
//!   the newest job of whoever has most of them waiting is refused, which is the caller's 503.
//! - Workers run at nice 19: under a storm of logins a core thread that wakes goes first, logins wait.
//!   With parallelism > 1 the lanes run on rayon's global pool, whose threads inherit the niceness of the
//!   worker that first uses it. Start the pool before pinning, as threads inherit the mask too.
//! - A password is overwritten in memory when its job ends, whichever way.
//! - Passwords are normalised here and nowhere else, so that no way in can forget it. A hash from before that is
//!   found by one more verification of the older spelling, where there is one.
//! - Equal time for unknown users: verify against [`PasswordPool::dummy_phc`].

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::{io, thread};

use argon2::{Algorithm, Argon2, Block, PasswordHash, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use crate::runtime::network::Network;
use crate::runtime::wipe::{wipe, wiping};
use crate::text::password::{normalise, older};

/// Contract: 16-byte salt, 32-byte hash.
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// A stored hash asking for more is refused instead of computed: 1 GiB, 64 passes, 64 lanes.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const TIME_MAX: u32 = 64;
const PARALLELISM_MAX: u32 = 64;
/// A core thread that wakes beside hashing waits 4 ms (p99) at nice 5, and 0.1 ms at 19. Not `SCHED_IDLE`: it does no
/// better, and where others keep the processors busy it gets next to nothing, so that nobody could log in.
const NICENESS: libc::c_int = 19;

/// The cost of a new hash. Contract defaults: 2 passes, 65,536 KiB, 2 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    pub time: u32,
    pub memory_kib: u32,
    pub parallelism: u32,
}

/// Too many wait; the password is wiped. From `try_hash` and `try_verify`: `done` was dropped uncalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Whose job it is, for sharing out the turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The widest, of which there are few.
    network: Network,
    account: u64,
}

impl Source {
    /// `account` is an id, or whatever else names the account that is meant.
    pub fn new(address: IpAddr, account: u64) -> Source {
        Source { network: Network::widest(address), account }
    }
}

/// Why a pool does not start or a hash could not be made.
#[derive(Debug)]
pub enum Error {
    /// Memory, passes or lanes outside what Argon2 or this server allows.
    Params,
    /// The kernel gave no randomness for the salt.
    Random,
    /// A worker thread could not be started.
    Thread(io::Error),
    /// The job had to make room for others.
    Full,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Params => f.write_str(
                "encryption.argon2.memory_kib, time_cost and parallelism do not go together: at least 8 KiB per lane",
            ),
            Error::Random => f.write_str("the kernel gives no random bytes"),
            Error::Full => f.write_str("too many passwords wait"),
            Error::Thread(error) => write!(f, "a thread cannot be started: {error}"),
        }
    }
}

type HashDone = Box<dyn FnOnce(Result<String, Error>) + Send>;
type VerifyDone = Box<dyn FnOnce(Result<bool, Full>) + Send>;

enum Job {
    Hash { password: Secret, done: HashDone },
    Verify { password: Secret, phc: String, done: VerifyDone },
}

impl Job {
    /// Ends it unworked.
    fn refuse(self) {
        match self {
            Job::Hash { done, .. } => done(Err(Error::Full)),
            Job::Verify { done, .. } => done(Err(Full)),
        }
    }
}

/// Shared by all cores behind an `Arc`. When it is dropped, the workers finish the queue and end.
pub struct PasswordPool {
    queue: SyncSender<(Source, Job)>,
    dummy_phc: String,
}

impl PasswordPool {
    /// Starts `workers` (≥ 1) threads, before which `queue_len_max` jobs may wait. A worker takes its memory with
    /// its first job and keeps it.
    pub fn start(params: Params, workers: usize, queue_len_max: usize) -> Result<Self, Error> {
        params.check()?;
        let (queue, jobs) = sync_channel(queue_len_max);
        let waiting = Arc::new(Waiting::default());
        let sorted = waiting.clone();
        let sort = move || sort(&jobs, &sorted, queue_len_max);
        thread::Builder::new().name("password-queue".into()).spawn(sort).map_err(Error::Thread)?;
        for index in 0..workers.max(1) {
            let waiting = waiting.clone();
            let run = move || {
                lower_priority();
                work(params, &waiting);
            };
            thread::Builder::new().name(format!("password-{index}")).spawn(run).map_err(Error::Thread)?;
        }
        // Never computed: no password is known for a random hash, and it costs as much to refuse.
        let dummy_phc = encode(params, &random::<SALT_LEN>()?, &random::<HASH_LEN>()?);
        Ok(Self { queue, dummy_phc })
    }

    /// Hashes with a fresh salt; `done` gets the PHC string, on a thread of the pool: send, do not compute there.
    pub fn try_hash(&self, source: Source, password: String, done: HashDone) -> Result<(), Full> {
        self.submit(source, Job::Hash { password: Secret::new(password), done })
    }

    /// Checks against `phc` with the parameters in it, not the configured ones. `done` gets false for a
    /// wrong password and for a string that is no Argon2id hash within bounds.
    pub fn try_verify(
        &self,
        source: Source,
        password: String,
        phc: String,
        done: VerifyDone,
    ) -> Result<(), Full> {
        self.submit(source, Job::Verify { password: Secret::new(password), phc, done })
    }

    /// A hash no password matches, of the configured cost: verify against it when the user is unknown.
    pub fn dummy_phc(&self) -> &str {
        &self.dummy_phc
    }

    fn submit(&self, source: Source, job: Job) -> Result<(), Full> {
        self.queue.try_send((source, job)).map_err(|_| Full)
    }
}

/// What the sorting thread and the workers share. No core thread comes here.
#[derive(Default)]
struct Waiting {
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().expect("nothing panics while the lock is held")
    }
}

/// Sorts what arrives until the pool is dropped.
fn sort(jobs: &Receiver<(Source, Job)>, waiting: &Waiting, len_max: usize) {
    while let Ok((source, job)) = jobs.recv() {
        let surplus = {
            let mut turns = waiting.lock();
            turns.push(source, job);
            if turns.len > len_max { turns.pop_surplus() } else { None }
        };
        waiting.changed.notify_one();
        if let Some(job) = surplus {
            job.refuse();
        }
    }
    waiting.lock().is_closed = true;
    waiting.changed.notify_all();
}

/// Jobs that wait, by whose they are. Both lists are short: nobody has an entry without a job, and
/// `encryption.argon2.queue_len_max` bounds those.
struct Turns<J = Job> {
    networks: VecDeque<Waiters<J>>,
    len: usize,
    is_closed: bool,
}

struct Waiters<J> {
    network: Network,
    accounts: VecDeque<(u64, VecDeque<J>)>,
    len: usize,
}

impl<J> Default for Turns<J> {
    fn default() -> Self {
        Turns { networks: VecDeque::new(), len: 0, is_closed: false }
    }
}

impl<J> Turns<J> {
    fn push(&mut self, source: Source, job: J) {
        self.len += 1;
        let Source { network, account } = source;
        let place = self.networks.iter().position(|known| known.network == network);
        let place = place.unwrap_or_else(|| {
            self.networks.push_back(Waiters { network, accounts: VecDeque::new(), len: 0 });
            self.networks.len() - 1
        });
        let waiters = &mut self.networks[place];
        waiters.len += 1;
        match waiters.accounts.iter_mut().find(|(known, _)| *known == account) {
            Some((_, jobs)) => jobs.push_back(job),
            None => waiters.accounts.push_back((account, VecDeque::from([job]))),
        }
    }

    /// The job whose turn it is.
    fn pop(&mut self) -> Option<J> {
        let mut waiters = self.networks.pop_front()?;
        let (account, mut jobs) = waiters.accounts.pop_front()?;
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            waiters.accounts.push_back((account, jobs));
        }
        waiters.len -= 1;
        self.len -= 1;
        if waiters.len > 0 {
            self.networks.push_back(waiters);
        }
        job
    }

    /// The newest job of whoever has most of them; of equals, of the one who came last.
    fn pop_surplus(&mut self) -> Option<J> {
        let most = (0..self.networks.len()).max_by_key(|place| self.networks[*place].len)?;
        let waiters = &mut self.networks[most];
        let account = (0..waiters.accounts.len()).max_by_key(|place| waiters.accounts[*place].1.len())?;
        let jobs = &mut waiters.accounts[account].1;
        let job = jobs.pop_back();
        if jobs.is_empty() {
            waiters.accounts.remove(account);
        }
        waiters.len -= 1;
        self.len -= 1;
        if waiters.len == 0 {
            self.networks.remove(most);
        }
        job
    }
}

fn work(params: Params, waiting: &Waiting) {
    let mut memory = Vec::new();
    loop {
        let job = {
            let idle = |turns: &mut Turns| turns.len == 0 && !turns.is_closed;
            let turns = waiting.changed.wait_while(waiting.lock(), idle);
            turns.expect("nothing panics while the lock is held").pop()
        };
        let held = &mut memory;
        match job {
            Some(Job::Hash { password, done }) => {
                done(wiping(true, move || hash(params, password.normal().bytes(), held)));
            }
            Some(Job::Verify { password, phc, done }) => {
                let matches = wiping(true, move || {
                    let mut matches = |password: Secret| verify(&phc, password.bytes(), held);
                    matches(password.normal()) || password.older().is_some_and(matches)
                });
                done(Ok(matches));
            }
            None => return,
        }
        trim(params, &mut memory);
    }
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
    fn check(self) -> Result<argon2::Params, Error> {
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

fn lower_priority() {
    // SAFETY: takes no pointers; id 0 is the calling thread (on Linux, priorities are per thread).
    // Raising the niceness needs no right, and if it failed the pool would only be less polite.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const CHEAP: Params = Params { time: 1, memory_kib: 64, parallelism: 1 };
    const PATIENCE: Duration = Duration::from_secs(20);

    fn source(address: u8, account: u64) -> Source {
        Source::new([10, 0, 0, address].into(), account)
    }

    fn pool_hash(pool: &PasswordPool, password: &str) -> String {
        let (done, result) = mpsc::channel();
        let done = Box::new(move |phc| done.send(phc).unwrap());
        pool.try_hash(source(1, 1), password.into(), done).unwrap();
        result.recv_timeout(PATIENCE).unwrap().unwrap()
    }

    fn pool_verify(pool: &PasswordPool, password: &str, phc: &str) -> bool {
        let (done, result) = mpsc::channel();
        let done = Box::new(move |matches| done.send(matches).unwrap());
        pool.try_verify(source(1, 1), password.into(), phc.into(), done).unwrap();
        result.recv_timeout(PATIENCE).unwrap().unwrap()
    }

    /// The order in which jobs of these addresses and accounts get their turns; a job is its own source.
    fn order(jobs: &[(u8, u64)]) -> Vec<(u8, u64)> {
        let mut turns = Turns::default();
        jobs.iter().for_each(|job| turns.push(source(job.0, job.1), *job));
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn addresses_take_turns_and_so_do_accounts_of_an_address() {
        let storm = [(1, 1); 40];
        let others = [(2, 2), (3, 3), (1, 4)];
        let order = order(&[&storm[..], &others[..]].concat());
        assert_eq!(order[..5], [(1, 1), (2, 2), (3, 3), (1, 4), (1, 1)]);
        assert_eq!(order.len(), 43);
    }

    #[test]
    fn one_address_with_many_accounts_gets_one_turn_in_a_round() {
        let storm: Vec<(u8, u64)> = (0..40).map(|account| (1, account)).collect();
        assert_eq!(
            order(&[&storm[..], &[(2, 77), (2, 77)]].concat())[..4],
            [(1, 0), (2, 77), (1, 1), (2, 77)]
        );
    }

    #[test]
    fn the_newest_job_of_whoever_has_most_makes_room() {
        let mut turns = Turns::default();
        for job in 0..6 {
            turns.push(source(1, job / 4), job);
        }
        turns.push(source(2, 9), 100);
        assert_eq!(turns.pop_surplus(), Some(3), "address 1 has six, its account 0 four of them");
        for _ in 0..4 {
            turns.pop_surplus();
        }
        assert_eq!((turns.len, turns.pop_surplus()), (2, Some(100)), "of equals the one who came last");
        assert_eq!((turns.pop(), turns.pop(), turns.len), (Some(0), None, 0));
    }

    #[test]
    fn an_ipv6_client_is_its_widest_network() {
        let of = |text: &str| Source::new(text.parse().unwrap(), 1);
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:2:2::"));
    }

    #[test]
    fn hashes_verify_and_differ() {
        let pool = PasswordPool::start(CHEAP, 2, 8).unwrap();
        let (first, second) = (pool_hash(&pool, "CorrectHorse1!"), pool_hash(&pool, "CorrectHorse1!"));
        assert!(first.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{first}");
        assert_ne!(first, second, "salted");
        assert!(pool_verify(&pool, "CorrectHorse1!", &first));
        assert!(!pool_verify(&pool, "correctHorse1!", &first));
        assert!(!pool_verify(&pool, "CorrectHorse1!", pool.dummy_phc()));
        assert_eq!(decode(pool.dummy_phc()).unwrap().0, CHEAP);
    }

    #[test]
    fn a_password_is_the_same_from_every_keyboard() {
        let (composed, decomposed) = ("Caf\u{e9}Horse1!", "Cafe\u{301}Horse1!");
        let pool = PasswordPool::start(CHEAP, 1, 8).unwrap();
        let phc = pool_hash(&pool, decomposed);
        for typed in [composed, decomposed] {
            assert!(pool_verify(&pool, typed, &phc), "{typed:?}");
        }
        assert!(!pool_verify(&pool, "CafeHorse1!", &phc));
        // Hashes from before passwords were normalised.
        let mut memory = Vec::new();
        for old in [composed, decomposed, "no\u{a0}break"] {
            let phc = hash(CHEAP, old.as_bytes(), &mut memory).unwrap();
            assert!(pool_verify(&pool, old, &phc), "{old:?}");
        }
        let phc = hash(CHEAP, decomposed.as_bytes(), &mut memory).unwrap();
        assert!(pool_verify(&pool, composed, &phc));
    }

    #[test]
    fn other_parameters_come_from_the_string() {
        // Made by the crate's own PHC code, which must agree with ours.
        use argon2::{PasswordHasher, PasswordVerifier};
        let larger = Argon2::from(argon2::Params::new(256, 2, 2, None).unwrap());
        let phc = larger.hash_password_with_salt(b"secret", b"0123456789abcdef").unwrap().to_string();
        let pool = PasswordPool::start(CHEAP, 1, 8).unwrap();
        assert!(pool_verify(&pool, "secret", &phc));
        assert!(!pool_verify(&pool, "secres", &phc));
        let ours = pool_hash(&pool, "secret");
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
    fn a_full_queue_refuses_and_a_newcomer_finds_room_beside_a_storm() {
        let pool = PasswordPool::start(CHEAP, 1, 2).unwrap();
        let (running, started) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let phc = pool.dummy_phc().to_string();
        let block = Box::new(move |_| {
            running.send(()).unwrap();
            let _ = gate.recv();
        });
        pool.try_verify(source(1, 1), "x".into(), phc.clone(), block).unwrap();
        started.recv_timeout(PATIENCE).unwrap();
        let (done, result) = mpsc::channel();
        let submit = |name: &'static str, source: Source| {
            let done = done.clone();
            let done = Box::new(move |outcome| done.send((name, outcome)).unwrap());
            pool.try_verify(source, "x".into(), phc.clone(), done)
        };
        submit("first", source(1, 1)).unwrap();
        submit("second", source(1, 1)).unwrap();
        // The channel has room as soon as the sorting thread has taken what is in it.
        while submit("newcomer", source(2, 2)) == Err(Full) {
            thread::yield_now();
        }
        assert_eq!(result.recv_timeout(PATIENCE).unwrap(), ("second", Err(Full)));
        release.send(()).unwrap();
        drop(pool);
        let mut left: Vec<_> = (0..2).map(|_| result.recv_timeout(PATIENCE).unwrap()).collect();
        left.sort_by_key(|(name, _)| *name);
        assert_eq!(
            left,
            [("first", Ok(false)), ("newcomer", Ok(false))],
            "finished after the pool is dropped"
        );
    }

    #[test]
    fn all_that_hashes_gives_way_to_others() {
        let pool = PasswordPool::start(Params { parallelism: 2, ..CHEAP }, 1, 8).unwrap();
        pool_hash(&pool, "with lanes");
        // Lanes have no name of their own and keep that of the worker. Workers of other tests have just started.
        let niceness = || -> Vec<String> {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap();
            let stats =
                tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
            let hashing =
                stats.filter(|stat| stat.contains("(password-") && !stat.contains("(password-queue"));
            // proc_pid_stat(5): field 19, of which two are before the bracket.
            hashing.map(|stat| stat.split(") ").last().unwrap().split(' ').nth(16).unwrap().into()).collect()
        };
        let begun = std::time::Instant::now();
        while niceness().iter().any(|niceness| niceness != "19") {
            assert!(begun.elapsed() < PATIENCE, "{:?}", niceness());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(niceness().len() > 1, "a worker and its lanes");
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
            assert!(matches!(PasswordPool::start(params, 1, 1), Err(Error::Params)), "{params:?}");
        }
    }
}
