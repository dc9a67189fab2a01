//! How many bytes the gateway holds for its sessions.
//!
//! Tables are counted whole, by capacity. What single sessions and connections hold on the heap is looked at a few
//! sessions at a time, round and round; the mean of a round stands for all. Not counted: the replay ring (it has a
//! figure of its own), permissions computed per class, what connections without a session hold, and the allocator's
//! rounding.

use super::connection::Connection;
use super::hub::Hub;
use super::session::Slot;

/// Sessions looked at per call; ten calls a second see 20,000 sessions in 31 s.
const LOOK_COUNT: usize = 64;

/// Where the look at sessions stands.
#[derive(Debug, Default)]
pub struct Survey {
    next: usize,
    seen: usize,
    heap_len: usize,
    /// Heap bytes per session of the last round.
    mean_len: usize,
}

/// Bytes of a hash map: one byte of control per bucket, at most 7 of 8 buckets in use.
pub fn map_len<K, V>(capacity: usize) -> usize {
    capacity.div_ceil(7) * 8 * (size_of::<(K, V)>() + 1)
}

impl Hub {
    /// Bytes of connections, sessions and who is where. Takes some microseconds; call it a few times per second.
    pub fn state_len(&mut self) -> usize {
        self.look_at_sessions();
        self.connections.table_len()
            + self.sessions.table_len()
            + self.sessions.len() * self.survey.mean_len
            + self.audiences.heap_len()
            + self.home.state_len()
            + self.jobs.heap_len()
            + self.typing.heap_len()
            + self.voice.heap_len()
            + self.outbox.heap_len()
            + self.deadlines.heap_len()
            + self.intake.heap_len()
    }

    /// Bytes of the events kept for RESUME.
    pub fn replay_len(&self) -> usize {
        self.sessions.replay.len()
    }

    fn look_at_sessions(&mut self) {
        let survey = &mut self.survey;
        for _ in 0..LOOK_COUNT.min(self.sessions.slot_end()) {
            if let Some(session) = self.sessions.get(Slot(survey.next as u32)) {
                let connection = self.connections.get(session.connection);
                survey.heap_len += session.heap_len() + connection.map_or(0, Connection::heap_len);
                survey.seen += 1;
            }
            survey.next += 1;
            let ends = survey.next >= self.sessions.slot_end();
            // In the first round, what was seen so far.
            if survey.seen > 0 && (ends || survey.mean_len == 0) {
                survey.mean_len = survey.heap_len / survey.seen;
            }
            if ends {
                *survey = Survey { mean_len: survey.mean_len, ..Survey::default() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_no_smaller_than_its_entries() {
        let map: rustc_hash::FxHashMap<u64, u64> = (0..1_000).map(|n| (n, n)).collect();
        let len = map_len::<u64, u64>(map.capacity());
        // 1,000 entries need 2,048 buckets of 17 bytes.
        assert_eq!(len, 2_048 * 17);
    }
}
