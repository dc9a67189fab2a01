//! An authenticator in software: makes passkeys and signs with them, as a browser hands it on.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const HAS_KEY: u8 = 64;

/// What a passkey signs with.
#[derive(Clone, Copy, Debug)]
pub enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
}

pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

enum Key {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(rsa::KeyPair),
}

/// One device with one passkey.
pub struct Authenticator {
    key: Key,
    pub id: Vec<u8>,
    pub counter: u32,
    pub origin: String,
    pub rp_id: String,
    /// Whether it makes sure who uses it.
    pub verifies: bool,
}

impl Authenticator {
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Authenticator {
        let key = match algorithm {
            Algorithm::EdDsa => Key::EdDsa(Ed25519KeyPair::generate().expect("a key")),
            Algorithm::Es256 => {
                Key::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
            }
            Algorithm::Rs256 => Key::Rs256(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key")),
        };
        Authenticator {
            key,
            id: (0..32).map(|_| fastrand::u8(..)).collect(),
            counter: 0,
            origin: "http://localhost:5000".into(),
            rp_id: "localhost".into(),
            verifies: true,
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["public_key"]["challenge"];
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = Sha256::digest(&self.rp_id).to_vec();
        data.push(PRESENT | verified | flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// What is sent to have a new passkey kept.
    #[must_use]
    pub fn make(&self, options: &Value, name: &str) -> Value {
        let mut data = self.head(HAS_KEY);
        data.extend([0; 16]);
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(&self.id);
        match &self.key {
            Key::Es256(pair) => {
                let point = pair.public_key().as_ref();
                data.extend([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32]);
                data.extend(&point[1..33]);
                data.extend([0x22, 0x58, 32]);
                data.extend(&point[33..]);
            }
            Key::EdDsa(pair) => {
                data.extend([0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32]);
                data.extend(pair.public_key().as_ref());
            }
            // RFC 8230 §4: key type 3, algorithm -257, modulus, exponent.
            Key::Rs256(pair) => {
                // Two integers in DER (RFC 8017 §A.1.1); of 2,048 bits the lengths are always these.
                let public = pair.public_key().as_ref();
                let (modulus, exponent) = (&public[9..265], &public[267..]);
                data.extend([0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59]);
                data.extend((modulus.len() as u16).to_be_bytes());
                data.extend(modulus);
                data.extend([0x21, 0x40 + exponent.len() as u8]);
                data.extend(exponent);
            }
        }
        let mut attestation = vec![0xa3, 0x63];
        attestation.extend(b"fmt");
        attestation.push(0x64);
        attestation.extend(b"none");
        attestation.push(0x67);
        attestation.extend(b"attStmt");
        attestation.extend([0xa0, 0x68]);
        attestation.extend(b"authData");
        attestation.push(0x59);
        attestation.extend((data.len() as u16).to_be_bytes());
        attestation.extend(data);
        let client_data = self.client_data("webauthn.create", options);
        json!({
            "state": options["state"], "name": name, "client_data": URL_SAFE_NO_PAD.encode(client_data),
            "attestation_object": URL_SAFE_NO_PAD.encode(attestation),
        })
    }

    /// What is sent to log in.
    #[must_use]
    pub fn sign(&self, options: &Value) -> Value {
        let (data, client_data) = (self.head(0), self.client_data("webauthn.get", options));
        let signed = [&data[..], &Sha256::digest(&client_data)].concat();
        let signature = match &self.key {
            Key::Es256(pair) => pair.sign(&SystemRandom::new(), &signed).expect("it signs").as_ref().to_vec(),
            Key::EdDsa(pair) => pair.sign(&signed).as_ref().to_vec(),
            Key::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &signed, &mut signature)
                    .expect("it signs");
                signature
            }
        };
        json!({
            "state": options["state"], "credential_id": URL_SAFE_NO_PAD.encode(&self.id),
            "client_data": URL_SAFE_NO_PAD.encode(client_data),
            "authenticator_data": URL_SAFE_NO_PAD.encode(data), "signature": URL_SAFE_NO_PAD.encode(signature),
        })
    }
}
