//! TLS towards other servers: one provider of cryptography, and the authorities that this machine trusts.
//!
//! Invariant: what another server shows is always checked; there is no way to do without.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}

/// The authorities that the system trusts, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name: read once, off the
/// cores. None at all is told once, and then every connection fails.
pub(super) fn authorities() -> &'static [CertificateDer<'static>] {
    static AUTHORITIES: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    AUTHORITIES.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map(ToString::to_string).unwrap_or_default();
            tracing::error!(
                why,
                "no certificate of another server can be checked: install ca-certificates, or set SSL_CERT_FILE"
            );
        }
        found.certs
    })
}

/// For those who speak TLS themselves.
pub(super) fn client() -> Arc<ClientConfig> {
    static CLIENT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        // One that cannot be read is one that vouches for nobody.
        roots.add_parsable_certificates(authorities().iter().cloned());
        let builder = ClientConfig::builder_with_provider(provider());
        let builder =
            builder.with_safe_default_protocol_versions().expect("the provider has suites for both");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    CLIENT.get_or_init(make).clone()
}
