//! Addresses of files that need no login for a time: `?exp=<Unix seconds>&sig=<hexadecimal digits>`.
//!
//! Invariant: a signature is good for one file name and one moment; it is compared in constant time. Whoever has such an
//! address may read the file until then, whatever becomes of the rights of the one who asked for it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::api::ctx::{Ctx, Request};
use crate::api::state::State;
use crate::domain::{Error, Result, view};
use crate::store::hex;
use crate::store::keyring::Purpose;

const EXPIRY: &str = "exp";
const SIGNATURE: &str = "sig";

/// Whether a request brings one, good or bad.
pub fn is_there(request: &Request<'_>) -> bool {
    matches!(request.head.target.query.get(SIGNATURE), Ok(Some(_)))
}

/// Whether a request brings a good one for this file; false without one.
///
/// # Errors
/// 403 when it is not good, or not any more; 400 for a malformed query.
pub fn check(ctx: &Ctx<'_>, file_name: &str) -> Result<bool> {
    let Some(given) = ctx.query(SIGNATURE)? else { return Ok(false) };
    let refused = || Error::forbidden("The signature of this address is wrong, or it has run out");
    let until: u64 = ctx.query(EXPIRY)?.and_then(|text| text.parse().ok()).ok_or_else(refused)?;
    let given: [u8; 32] = hex::decode(&given).ok_or_else(refused)?;
    let is_good = sums(ctx.state, file_name, until).iter().any(|sum| bool::from(sum.ct_eq(&given)));
    if is_good && until > ctx.now().unix_ms / 1_000 { Ok(true) } else { Err(refused()) }
}

/// The address of a file for whoever has it, and until when, in Unix milliseconds.
pub fn address(ctx: &Ctx<'_>, file_name: &str) -> (String, u64) {
    let until = ctx.now().unix_ms / 1_000 + ctx.state.config.media.signing_expiry;
    let sum = hex::encode(&sums(ctx.state, file_name, until)[0]);
    let url = view::file_url(file_name);
    (format!("{url}?{EXPIRY}={until}&{SIGNATURE}={sum}"), until * 1_000)
}

/// What a signature may be: under the key of the operator, or under each of the server's.
fn sums(state: &State, file_name: &str, until: u64) -> Vec<[u8; 32]> {
    let key = &state.config.media.signing_key;
    if key.is_empty() {
        return state.keys.sums(Purpose::MediaAddress, until, file_name.as_bytes());
    }
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(key.as_bytes()).expect("a key may have any length");
    mac.update(&until.to_be_bytes());
    mac.update(file_name.as_bytes());
    vec![mac.finalize().into_bytes().into()]
}
