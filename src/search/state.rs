//! What the index says of itself: of which store it is, how far it has come.

use super::fresh::Position;
use crate::id::{ChannelId, MessageId};

/// Of the form of the index; another one is made anew.
const VERSION: u64 = 1;
/// The key of its row: shorter than those of postings.
pub const STATE_KEY: &[u8] = b"s";

/// Messages that are being looked for in the store, channel by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Newer than the first, not newer than the second.
    pub after: u64,
    pub up_to: u64,
    /// The last one that was taken in.
    pub at: (ChannelId, MessageId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Stands for the store.
    pub store: u64,
    /// Stands for the key of the terms.
    pub keys: u64,
    /// With what is in the index, but for what the walk has not come to.
    pub position: Position,
    pub walk: Option<Walk>,
}

impl State {
    pub fn encode(&self) -> Vec<u8> {
        let walk = self.walk.map_or([0; 5], |walk| [1, walk.after, walk.up_to, walk.at.0.0, walk.at.1.0]);
        let numbers = [VERSION, self.store, self.keys, self.position.id, self.position.change];
        let bytes: Vec<u8> = numbers.iter().chain(&walk).flat_map(|number| number.to_le_bytes()).collect();
        [&bytes[..], &crc32c::crc32c(&bytes).to_le_bytes()].concat()
    }

    /// `None` when it is none of this version.
    pub fn decode(bytes: &[u8]) -> Option<State> {
        let (bytes, sum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*sum) {
            return None;
        }
        let numbers: Vec<u64> =
            bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let [VERSION, store, keys, id, change, is_walking, after, up_to, channel, message] = numbers[..]
        else {
            return None;
        };
        let at = (ChannelId(channel), MessageId(message));
        let walk = (is_walking == 1).then_some(Walk { after, up_to, at });
        Some(State { store, keys, position: Position { id, change }, walk })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_nothing_else_is_one() {
        let walk = Walk { after: 3, up_to: 4, at: (ChannelId(5), MessageId(6)) };
        for walk in [None, Some(walk)] {
            let state = State { store: 1, keys: 2, position: Position { id: 7, change: 8 }, walk };
            let bytes = state.encode();
            assert_eq!(State::decode(&bytes), Some(state));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert_eq!(State::decode(&other), None);
                assert_eq!(State::decode(&bytes[..at]), None);
            }
        }
    }
}
