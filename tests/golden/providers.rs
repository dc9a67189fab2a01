//! Examples of what is stored of other providers, and of passkeys.

use plexichat::id::{PasskeyId, UserId};
use plexichat::store::records::*;

use super::{AT, Records, number};

pub fn examples(records: &mut Records) {
    records.example(ProviderSignIn {
        provider: provider::GITLAB,
        secret_hash: [11; 32],
        redirect_hash: [12; 32],
        challenge: Some([13; 32]),
        source: 0xc000_0201,
        expires_at: AT + 7,
    });
    records.example(ProviderLink { subject: "42@git.example.org".into(), created_at: AT });
}

pub fn passkeys(records: &mut Records) {
    records.example(Passkey {
        name: "phone".into(),
        credential_id: vec![1, 2, 3],
        credential_hash: [15; 32],
        algorithm: passkey_algorithm::ES256,
        key: vec![4; 65],
        exponent: Vec::new(),
        counter: 7,
        created_at: AT,
        last_used_at: Some(AT + 8),
    });
    records.example(PasskeyPlace { user_id: UserId(number(2)), passkey_id: PasskeyId(number(40)) });
}
