//! The bytes of an entry: a batch of commands with what says when they were asked for, where, and in which order.
//!
//! Little-endian: `magic u32 | format u16 | flags u16 | partition u32 | origin u16 | count u16 | epoch u32 |
//! sequence u64 | unix_ms u64 | steady_ms u64`, then `count` times `code u16 | actor u64 | len u32 | bytes`, then the
//! CRC-32C of all of it. An entry is never split: its commands share one transaction and one snapshot everywhere.
//!
//! Invariant: applying depends on nothing but the entry and the state before it. What [`Entry::encode`] wrote,
//! [`Entry::decode`] gives back; everything else is refused.

use crate::domain::command::DecodeError;
use crate::domain::{Command, Now, Op};
use crate::id::UserId;

const MAGIC: u32 = u32::from_le_bytes(*b"plxE");
/// Of the bytes; another layout gets another number.
const FORMAT: u16 = 1;
/// A command that needs a batch of its own is the only one of its entry.
const ISOLATED: u16 = 1;
const HEAD_LEN: usize = 4 + 2 + 2 + 4 + 2 + 2 + 4 + 8 + 8 + 8;
const COMMAND_HEAD_LEN: usize = 14;
const SUM_LEN: usize = 4;

/// Who ordered it, and as which of his entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which log it belongs to; one machine has the one log 0.
    pub partition: u32,
    /// The node that took the commands: datacenter << 5 | worker.
    pub origin: u16,
    /// Counts the starts of the origin: entries of an earlier life are told from those of this one.
    pub epoch: u32,
    /// Counts the entries of the epoch, from 1.
    pub sequence: u64,
}

/// A batch on its way into the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub place: Place,
    pub now: Now,
    pub commands: Vec<Command>,
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// Not as long as it says, or not begun as entries are.
    Malformed,
    /// A layout that this version does not know.
    UnknownFormat(u16),
    WrongChecksum,
    Command(DecodeError),
}

impl std::fmt::Display for EntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EntryError::Malformed => f.write_str("these bytes are no log entry"),
            EntryError::UnknownFormat(format) => {
                write!(f, "log entries of format {format} are not known to this version: update the server")
            }
            EntryError::WrongChecksum => {
                f.write_str("the checksum of a log entry is wrong: it was damaged on its way")
            }
            EntryError::Command(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EntryError {}

impl Entry {
    /// # Panics
    /// With more than 65,535 commands, or an isolated one among others: no batch is put together like that.
    pub fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.commands.len()).expect("a batch is bounded");
        let isolated = self.commands.iter().any(|command| command.op.row().marks.isolated);
        assert!(!isolated || count == 1, "an isolated command is alone in its entry");
        let mut out = Vec::with_capacity(HEAD_LEN + self.commands.len() * 64);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&(if isolated { ISOLATED } else { 0 }).to_le_bytes());
        out.extend_from_slice(&self.place.partition.to_le_bytes());
        out.extend_from_slice(&self.place.origin.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&self.place.epoch.to_le_bytes());
        out.extend_from_slice(&self.place.sequence.to_le_bytes());
        out.extend_from_slice(&self.now.unix_ms.to_le_bytes());
        out.extend_from_slice(&self.now.steady_ms.to_le_bytes());
        for command in &self.commands {
            debug_assert_eq!(
                command.partition, self.place.partition,
                "a command is in the log it belongs to"
            );
            out.extend_from_slice(&command.op.row().code.to_le_bytes());
            out.extend_from_slice(&command.actor.0.to_le_bytes());
            let len_at = out.len();
            out.extend_from_slice(&[0; 4]);
            out = command.op.encode(out);
            let len =
                u32::try_from(out.len() - len_at - 4).expect("requests are bounded, and so are commands");
            out[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        }
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// # Errors
    /// For every other bytes than those of an entry whose commands are all known.
    pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
        let mut reader = Reader(bytes);
        if reader.u32()? != MAGIC {
            return Err(EntryError::Malformed);
        }
        let format = reader.u16()?;
        if format != FORMAT {
            return Err(EntryError::UnknownFormat(format));
        }
        let body_len = bytes.len().checked_sub(SUM_LEN).ok_or(EntryError::Malformed)?;
        let (body, sum) = bytes.split_at(body_len);
        if crc32c::crc32c(body).to_le_bytes() != sum {
            return Err(EntryError::WrongChecksum);
        }
        let mut reader = Reader(&body[6..]);
        let flags = reader.u16()?;
        let (partition, origin, count) = (reader.u32()?, reader.u16()?, reader.u16()?);
        let place = Place { partition, origin, epoch: reader.u32()?, sequence: reader.u64()? };
        let now = Now { unix_ms: reader.u64()?, steady_ms: reader.u64()? };
        let mut commands = Vec::with_capacity(usize::from(count).min(body_len / COMMAND_HEAD_LEN));
        for _ in 0..count {
            let (code, actor) = (reader.u16()?, UserId(reader.u64()?));
            let len = reader.u32()? as usize;
            let op = Op::decode(code, reader.take(len)?).map_err(EntryError::Command)?;
            commands.push(Command { partition, actor, op });
        }
        let isolated = commands.iter().any(|command| command.op.row().marks.isolated);
        if !reader.0.is_empty() || flags != u16::from(isolated) * ISOLATED || (isolated && count != 1) {
            return Err(EntryError::Malformed);
        }
        Ok(Entry { place, now, commands })
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], EntryError> {
        self.0.split_off(..len).ok_or(EntryError::Malformed)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes as were asked for"))
    }

    fn u16(&mut self) -> Result<u16, EntryError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, EntryError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, EntryError> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::community::server::ServerDelete;
    use crate::domain::social::dm::{DmOpen, NotesOpen};
    use crate::id::ServerId;

    fn entry(commands: Vec<Command>) -> Entry {
        let place = Place { partition: 0, origin: 33, epoch: 7, sequence: 1 << 40 };
        Entry { place, now: Now { unix_ms: 1_767_225_600_123, steady_ms: 1_767_225_600_001 }, commands }
    }

    fn some() -> Entry {
        let notes = Command::new(UserId(1), NotesOpen {}.into());
        entry(vec![notes.clone(), Command::new(UserId(2), DmOpen { recipient_id: UserId(3) }.into()), notes])
    }

    #[test]
    fn what_was_written_comes_back() {
        let alone = vec![Command::new(UserId(4), ServerDelete { server_id: ServerId(5) }.into())];
        for entry in [some(), entry(Vec::new()), entry(alone)] {
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn every_damage_is_found() {
        let bytes = some().encode();
        for len in 0..bytes.len() {
            assert!(Entry::decode(&bytes[..len]).is_err(), "{len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::decode(&damaged).is_err(), "bit {bit}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Entry::decode(&longer).is_err());
    }

    /// Changes bytes and mends the checksum, as somebody would who writes entries of another version.
    fn changed(at: usize, to: &[u8]) -> Result<Entry, EntryError> {
        let mut bytes = some().encode();
        bytes[at..at + to.len()].copy_from_slice(to);
        let body_len = bytes.len() - SUM_LEN;
        let sum = crc32c::crc32c(&bytes[..body_len]);
        bytes[body_len..].copy_from_slice(&sum.to_le_bytes());
        Entry::decode(&bytes)
    }

    #[test]
    fn what_another_version_wrote_is_named() {
        assert_eq!(changed(4, &2_u16.to_le_bytes()), Err(EntryError::UnknownFormat(2)));
        let unknown = changed(HEAD_LEN, &60_000_u16.to_le_bytes()).unwrap_err();
        assert_eq!(unknown, EntryError::Command(DecodeError::UnknownCode(60_000)));
        assert!(unknown.to_string().contains("command 60000 is not known to this version"), "{unknown}");
        // The mark of a command that is alone, more commands than there are, a length beyond the end.
        for (at, to) in
            [(6, &[1, 0][..]), (6, &[2, 0]), (14, &[4, 0]), (HEAD_LEN + 10, &[255, 255, 255, 255])]
        {
            assert_eq!(changed(at, to), Err(EntryError::Malformed), "{at}");
        }
    }
}
