//! Messages that were made or changed, for the one thread that follows them.
//!
//! Invariant: the writer never waits for it. What is told was committed before, so a snapshot opened afterwards has it;
//! who takes too long is told that something was lost, and finds it in the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::domain::Touched;

/// Messages that may wait: 2.4 MB.
const COUNT_MAX: usize = 100_000;

#[derive(Default)]
pub struct Touches {
    told: Mutex<Told>,
    changed: Condvar,
    is_followed: AtomicBool,
}

/// What has happened since somebody looked.
#[derive(Debug, Default)]
pub struct Told {
    pub touched: Vec<Touched>,
    /// There was more.
    pub lost: bool,
}

impl Touches {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("nothing panics while the lock is held")
    }

    pub(crate) fn tell(&self, touched: Vec<Touched>) {
        if touched.is_empty() || !self.is_followed.load(Ordering::Acquire) {
            return;
        }
        let mut told = self.lock();
        let was_empty = told.touched.is_empty();
        if told.touched.len() + touched.len() > COUNT_MAX {
            told.lost = true;
        } else if was_empty {
            told.touched = touched;
        } else {
            told.touched.extend(touched);
        }
        drop(told);
        if was_empty {
            self.changed.notify_one();
        }
    }

    /// From now on somebody listens: what a snapshot that is opened afterwards does not have is going to be told.
    pub fn follow(&self) {
        self.is_followed.store(true, Ordering::Release);
    }

    /// Ends a wait before its time.
    pub fn nudge(&self) {
        self.changed.notify_one();
    }

    /// What was told since the last call, waited for at most that long.
    pub fn wait(&self, timeout: Duration) -> Told {
        let mut told = self.lock();
        if told.touched.is_empty() && !told.lost {
            let waited = self.changed.wait_timeout(told, timeout);
            told = waited.expect("nothing panics while the lock is held").0;
        }
        std::mem::take(&mut told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ChannelId, MessageId};

    #[test]
    fn what_is_too_much_is_said_to_be_lost() {
        let touches = Touches::default();
        let touched = |id: u64| Touched { channel_id: ChannelId(1), message_id: MessageId(id), change: 0 };
        touches.tell(vec![touched(7)]);
        touches.follow();
        touches.tell(vec![touched(1)]);
        touches.tell(vec![touched(2)]);
        touches.tell(Vec::new());
        let told = touches.wait(Duration::ZERO);
        assert_eq!((told.touched, told.lost), (vec![touched(1), touched(2)], false));
        touches.tell((0..COUNT_MAX as u64).map(touched).collect());
        touches.tell(vec![touched(9)]);
        let told = touches.wait(Duration::ZERO);
        assert_eq!((told.touched.len(), told.lost), (COUNT_MAX, true));
        let told = touches.wait(Duration::ZERO);
        assert!(told.touched.is_empty() && !told.lost);
    }
}
