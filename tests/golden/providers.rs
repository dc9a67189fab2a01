//! Examples of what is stored of other providers.

use plexichat::store::records::*;

use super::{AT, Records};

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
