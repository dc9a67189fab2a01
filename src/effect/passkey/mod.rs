//! Passkeys: what an authenticator says, and whether it is so (Web Authentication, level 2).
//!
//! Owns: reading what browsers send of authenticators, and comparing signatures; both on threads of their own, since
//! the bytes are strangers' and a signature is up to a millisecond of processor time. Whose key it is, and whether its
//! counter has risen, is decided by the log. What vouches for the make of an authenticator (attestation) is neither
//! asked for nor looked at: any that its owner trusts will do.

pub mod cbor;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::lane::{Effect, Row};
use crate::limits::{CREDENTIAL_ID_LEN_MAX, PASSKEY_KEY_LEN_MAX};
use crate::store::records::passkey_algorithm;
use crate::wire::json::{Value, parse};

pub static LANE: Row = Row {
    name: "passkey",
    // A signature is a fraction of a millisecond.
    threads: |_| 1,
    queue_len_max: |_| 256,
    // A core that wakes goes first, as beside hashing.
    niceness: 19,
    full: "Too many passkeys are being looked at; try again in a moment",
};

/// Flags of authenticator data (§6.1).
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const HAS_KEY: u8 = 1 << 6;
/// Sum of the relying party, flags, counter.
const HEAD_LEN: usize = 37;
const MAKE_LEN: usize = 16;

/// For whom authenticators sign.
#[derive(Clone, Debug)]
pub struct Party {
    /// A host name.
    pub id: String,
    /// Pages that may ask; none: those of that host and below it, by TLS.
    pub origins: Vec<String>,
}

/// The public half of a passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// A [`passkey_algorithm`] code.
    pub algorithm: u8,
    /// A point, or the modulus of RSA.
    pub bytes: Vec<u8>,
    /// Of RSA.
    pub exponent: Vec<u8>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub credential_id: Vec<u8>,
    pub key: Key,
    pub counter: u32,
}

/// Whether what a browser sends is a new passkey that was made for this server and this challenge.
pub struct Registration {
    pub party: Party,
    pub challenge: String,
    pub client_data: String,
    pub attestation: String,
}

/// Whether what a browser sends was signed by a passkey, for this server and this challenge.
pub struct Assertion {
    pub party: Party,
    pub challenge: String,
    pub client_data: String,
    pub authenticator_data: String,
    pub signature: String,
    pub key: Key,
    /// Whether the authenticator must have made sure who uses it, by a code or a finger.
    pub is_alone: bool,
}

/// What is wrong, for whoever sent it.
pub type Wrong = &'static str;

impl Effect for Registration {
    type Answer = Result<Made, Wrong>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        self.party.check(&self.client_data, "webauthn.create", &self.challenge)?;
        let attestation = decode(&self.attestation)?;
        let (members, _) = cbor::map(&attestation).ok_or("the attestation is no CBOR map")?;
        let Some(cbor::Item::Bytes(data)) = cbor::get(&members, cbor::Item::Text(b"authData")) else {
            return Err("the attestation has no authenticator data");
        };
        let head = Head::read(data, &self.party, true)?;
        made(head, &data[HEAD_LEN..]).ok_or("the authenticator tells of no key of a kind that is known here")
    }
}

impl Effect for Assertion {
    /// Its counter.
    type Answer = Result<u32, Wrong>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let client_data = self.party.check(&self.client_data, "webauthn.get", &self.challenge)?;
        let data = decode(&self.authenticator_data)?;
        let head = Head::read(&data, &self.party, self.is_alone)?;
        let signed = [&data[..], &Sha256::digest(&client_data)].concat();
        if self.key.verifies(&signed, &decode(&self.signature)?) {
            Ok(head.counter)
        } else {
            Err("the signature is not of this passkey")
        }
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Wrong> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| "it is not spelled in base64url")
}

impl Party {
    /// The bytes of the client data, if it says what it must (§7.1 and §7.2).
    fn check(&self, client_data: &str, kind: &str, challenge: &str) -> Result<Vec<u8>, Wrong> {
        let client_data = decode(client_data)?;
        let mut bytes = client_data.clone();
        let said = parse(&mut bytes).map_err(|_| "the client data is no JSON")?;
        let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("type") != kind {
            return Err("the client data is of another ceremony");
        }
        if !bool::from(text("challenge").as_bytes().ct_eq(challenge.as_bytes())) {
            return Err("the client data is of another challenge");
        }
        if !self.may_ask(text("origin")) || said.get("crossOrigin").and_then(Value::as_bool) == Some(true) {
            return Err("no page of this origin may ask for passkeys of this server");
        }
        Ok(client_data)
    }

    fn may_ask(&self, origin: &str) -> bool {
        if !self.origins.is_empty() {
            return self.origins.iter().any(|known| known == origin);
        }
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let is_below =
            host.strip_suffix(&*self.id).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        is_below && (scheme == "https" || (scheme == "http" && self.id == "localhost"))
    }
}

/// The beginning of authenticator data.
struct Head {
    flags: u8,
    counter: u32,
}

impl Head {
    fn read(data: &[u8], party: &Party, is_alone: bool) -> Result<Head, Wrong> {
        let head = data.get(..HEAD_LEN).ok_or("the authenticator data is too short")?;
        let counter = head[33..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).unwrap_or_default();
        let head = Head { flags: head[32], counter };
        if data[..32] != Sha256::digest(party.id.as_bytes())[..] {
            return Err("the passkey is of another server");
        }
        if head.flags & USER_PRESENT == 0 {
            return Err("nobody was there");
        }
        if is_alone && head.flags & USER_VERIFIED == 0 {
            return Err("the authenticator has not made sure who uses it: set a code or a finger up there");
        }
        Ok(head)
    }
}

/// Make, length and bytes of the credential's id, then its key (§6.5.1).
fn made(head: Head, data: &[u8]) -> Option<Made> {
    if head.flags & HAS_KEY == 0 {
        return None;
    }
    let (len, rest) = data.get(MAKE_LEN..)?.split_first_chunk()?;
    let len = usize::from(u16::from_be_bytes(*len));
    let credential_id = rest.get(..len).filter(|id| (1..=CREDENTIAL_ID_LEN_MAX).contains(&id.len()))?;
    let key = Key::read(&rest[len..])?;
    Some(Made { credential_id: credential_id.to_vec(), key, counter: head.counter })
}

impl Key {
    /// Of a COSE key (RFC 9053).
    fn read(bytes: &[u8]) -> Option<Key> {
        use cbor::Item::{Bytes, Int};
        let (members, _) = cbor::map(bytes)?;
        let get = |label: i64| cbor::get(&members, Int(label));
        let part = |label: i64| match get(label) {
            Some(Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        // Type and algorithm; the curve.
        let (algorithm, bytes, exponent) = match (get(1)?, get(3)?, get(-1)?) {
            (Int(2), Int(-7), Int(1)) => {
                let (x, y) = (part(-2)?, part(-3)?);
                (x.len() == 32 && y.len() == 32).then_some(())?;
                (passkey_algorithm::ES256, [&[4], x, y].concat(), Vec::new())
            }
            (Int(1), Int(-8), Int(6)) => {
                (passkey_algorithm::EDDSA, part(-2).filter(|x| x.len() == 32)?.to_vec(), Vec::new())
            }
            (Int(3), Int(-257), Bytes(modulus)) => {
                (passkey_algorithm::RS256, modulus.to_vec(), part(-2).filter(|e| e.len() <= 8)?.to_vec())
            }
            _ => return None,
        };
        (bytes.len() <= PASSKEY_KEY_LEN_MAX).then_some(Key { algorithm, bytes, exponent })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let bytes = &self.bytes;
        match self.algorithm {
            passkey_algorithm::ES256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bytes).verify(message, signature)
            }
            passkey_algorithm::EDDSA => UnparsedPublicKey::new(&ED25519, bytes).verify(message, signature),
            passkey_algorithm::RS256 => RsaPublicKeyComponents { n: bytes, e: &self.exponent }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            _ => return false,
        }
        .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_ask() {
        let party = |id: &str, origins: &[&str]| Party {
            id: id.into(),
            origins: origins.iter().map(|origin| (*origin).to_string()).collect(),
        };
        let check =
            |party: &Party, origin: &str, want: bool| assert_eq!(party.may_ask(origin), want, "{origin}");
        let chat = party("chat.example", &[]);
        for origin in ["https://chat.example", "https://app.chat.example", "https://chat.example:8443"] {
            check(&chat, origin, true);
        }
        for origin in [
            "",
            "http://chat.example",
            "https://evilchat.example",
            "https://chat.example.evil",
            "chat.example",
        ] {
            check(&chat, origin, false);
        }
        check(&party("localhost", &[]), "http://localhost:5000", true);
        let listed = party("chat.example", &["android:apk-key-hash:x"]);
        check(&listed, "android:apk-key-hash:x", true);
        check(&listed, "https://chat.example", false);
    }
}
