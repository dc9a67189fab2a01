//! Work of minutes that an administrator has asked for: on a thread of its own, so that no lane is kept from what
//! others wait for.
//!
//! Owns: which kinds there are, what each is at, and what the last of each came to. Invariants: there is one of a kind
//! at a time; one that panics has failed, and nothing else has. What is told here is forgotten when the process ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{io, thread};

use crate::runtime::clock::Turn;
use crate::runtime::panics;

/// Cores and lanes go first.
const NICENESS: libc::c_int = 19;
/// Characters that are kept of what one came to.
const OUTCOME_CHARS_MAX: usize = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Backup,
    Verify,
    /// Of messages; it is made by the threads of the index.
    Reindex,
    /// What was sealed with older keys follows in the background.
    KeyRotation,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Backup, Kind::Verify, Kind::Reindex, Kind::KeyRotation];
    pub const WORDS: &[&str] = &["backup", "verify", "reindex", "key_rotation"];

    pub fn text(self) -> &'static str {
        Kind::WORDS[self as usize]
    }
}

/// One that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// By wall time.
    pub started_ms: u64,
    /// Who has asked for it.
    pub by: String,
    /// When it ended, and what it came to.
    pub ended: Option<(u64, Result<String, String>)>,
}

/// The last of each kind.
#[derive(Default)]
pub struct Jobs(Mutex<[Option<Job>; Kind::ALL.len()]>);

/// Somebody's right to do one. Without [`Claim::keep`] or [`Claim::run`] it is as if nobody had asked.
pub struct Claim {
    jobs: Arc<Jobs>,
    kind: Kind,
    /// What the last one came to.
    before: Option<Job>,
    is_kept: bool,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, [Option<Job>; Kind::ALL.len()]> {
        self.0.lock().expect("nothing panics while the lock is held")
    }

    pub fn get(&self, kind: Kind) -> Option<Job> {
        self.lock()[kind as usize].clone()
    }

    /// Begins one; `None` while there is one of its kind.
    pub fn claim(self: &Arc<Self>, kind: Kind, by: String) -> Option<Claim> {
        let job = &mut self.lock()[kind as usize];
        if job.as_ref().is_some_and(|job| job.ended.is_none()) {
            return None;
        }
        let before = job.replace(Job { started_ms: Turn::now().unix_ms, by, ended: None });
        Some(Claim { jobs: self.clone(), kind, before, is_kept: false })
    }

    /// Says what one has come to, unless that was said.
    pub fn end(&self, kind: Kind, outcome: Result<String, String>) {
        let short = |text: String| text.chars().take(OUTCOME_CHARS_MAX).collect::<String>();
        let outcome = outcome.map(short).map_err(short);
        if let Some(job) = &mut self.lock()[kind as usize]
            && job.ended.is_none()
        {
            match &outcome {
                Ok(_) => tracing::info!(job = kind.text(), "done"),
                Err(error) => tracing::error!(job = kind.text(), error, "failed"),
            }
            job.ended = Some((Turn::now().unix_ms, outcome));
        }
    }
}

impl Claim {
    /// It is under way; who does it calls [`Jobs::end`].
    pub fn keep(mut self) {
        self.is_kept = true;
    }

    /// Does it on a thread of its own.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn run(self, work: impl FnOnce() -> Result<String, String> + Send + 'static) -> io::Result<()> {
        let (jobs, kind) = (self.jobs.clone(), self.kind);
        let run = move || {
            panics::survive();
            // SAFETY: takes no pointers; id 0 is the calling thread. If it failed it would only be less polite.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
            let outcome = catch_unwind(AssertUnwindSafe(work));
            jobs.end(kind, outcome.unwrap_or_else(|_| Err("it panicked: please report it".to_string())));
        };
        thread::Builder::new().name(format!("job-{}", self.kind.text())).spawn(run)?;
        self.keep();
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_kept {
            self.jobs.lock()[self.kind as usize] = self.before.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    fn ended(jobs: &Jobs, kind: Kind) -> Result<String, String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some((_, outcome)) = jobs.get(kind).and_then(|job| job.ended) {
                return outcome;
            }
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn there_is_one_of_a_kind_at_a_time() {
        let jobs = Arc::<Jobs>::default();
        let (go, wait) = channel::<()>();
        let claim = jobs.claim(Kind::Backup, "ada".into()).unwrap();
        claim
            .run(move || wait.recv().map(|()| "done".to_string()).map_err(|error| error.to_string()))
            .unwrap();
        assert!(jobs.claim(Kind::Backup, "eve".into()).is_none());
        drop(jobs.claim(Kind::Verify, "eve".into()).unwrap());
        assert_eq!(jobs.get(Kind::Verify), None, "what was given up has not been");
        go.send(()).unwrap();
        assert_eq!(ended(&jobs, Kind::Backup), Ok("done".into()));
        let claim = jobs.claim(Kind::Backup, "eve".into()).unwrap();
        assert_eq!(jobs.get(Kind::Backup).unwrap().by, "eve");
        drop(claim);
        assert_eq!(jobs.get(Kind::Backup).unwrap().by, "ada", "and the last one is still told");
    }

    #[test]
    fn one_that_panics_has_failed() {
        let jobs = Arc::<Jobs>::default();
        let claim = jobs.claim(Kind::Verify, "ada".into()).unwrap();
        claim.run(|| panic!("as this test wants it")).unwrap();
        assert!(ended(&jobs, Kind::Verify).unwrap_err().contains("panicked"));
        jobs.end(Kind::Verify, Ok("too late".into()));
        assert!(ended(&jobs, Kind::Verify).is_err());
    }

    #[test]
    fn each_kind_has_its_word() {
        assert_eq!(Kind::ALL.map(Kind::text), Kind::WORDS);
    }
}
