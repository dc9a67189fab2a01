//! Where the next page begins, as clients send it back: nothing for them to read, and nothing that they can make up.
//!
//! What it says is no secret, and a cursor that somebody forges shows him nothing that he may not see: so a checksum is
//! enough.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::{Error, Result};

/// Of which list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Of {
    Messages = 1,
    Users = 2,
    Servers = 3,
}

/// Longer than any that is given out: a name of 32 characters.
const LEN_MAX: usize = 128;

pub fn encode(of: Of, place: &[u8]) -> String {
    let mut bytes = vec![of as u8];
    bytes.extend_from_slice(place);
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// # Errors
/// 400 for what is no cursor of that list.
pub fn decode(of: Of, text: &str) -> Result<Vec<u8>> {
    let read = || {
        let bytes = Some(text).filter(|text| text.len() <= LEN_MAX)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(bytes).ok()?;
        let sum = u32::from_le_bytes(*bytes.last_chunk::<4>()?);
        bytes.truncate(bytes.len() - 4);
        let is_sound = crc32c::crc32c(&bytes) == sum && bytes.first() == Some(&(of as u8));
        is_sound.then(|| bytes.split_off(1))
    };
    read().ok_or_else(|| Error::invalid("cursor", "it is none that an answer has named as next_cursor"))
}

/// The number that a cursor has.
///
/// # Errors
/// As [`decode`].
pub fn decode_number(of: Of, text: &str) -> Result<u64> {
    let bytes = decode(of, text)?;
    let number = bytes.try_into().map(u64::from_le_bytes);
    number.map_err(|_| Error::invalid("cursor", "it is none that an answer has named as next_cursor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_nothing_else_is_one() {
        let text = encode(Of::Messages, &7_u64.to_le_bytes());
        assert_eq!(decode_number(Of::Messages, &text), Ok(7));
        assert_eq!(decode(Of::Users, &encode(Of::Users, b"1ada")), Ok(b"1ada".to_vec()));
        assert!(decode(Of::Users, &text).is_err());
        assert!(decode_number(Of::Messages, &encode(Of::Messages, b"x")).is_err());
        for other in ["", "???", "x", "eA", &text[1..], &format!("{text}A"), &"A".repeat(200)] {
            let error = decode_number(Of::Messages, other).unwrap_err();
            assert_eq!(error.status, 400, "{other}");
        }
    }
}
