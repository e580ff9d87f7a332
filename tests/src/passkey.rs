//! An authenticator of the tests' own: it makes one passkey (ES256) and says what real ones say.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lethe::cli::{ApiError, Client};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// Somebody was there.
pub const THERE: u8 = 0x01;

/// And was verified.
pub const VERIFIED: u8 = 0x04;

/// Holds one passkey.
pub struct Authenticator {
    pair: EcdsaKeyPair,
    credential: [u8; 20],
    handle: Option<String>,
    /// From which page it is used.
    pub origin: String,
    /// What it says of who uses it.
    pub flags: u8,
    /// How often it was used; it counts on by itself.
    pub count: u32,
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Authenticator {
    /// A new one, used on a page of this machine.
    pub fn new() -> Self {
        let (algorithm, chance) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &chance).expect("chance");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &chance).expect("a key");
        let mut credential = [0; 20];
        credential.copy_from_slice(&digest(&SHA256, pair.public_key().as_ref()).as_ref()[..20]);
        let origin = "http://localhost:8080".to_owned();
        Self { pair, credential, handle: None, origin, flags: THERE | VERIFIED, count: 0 }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let said =
            json!({"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false});
        said.to_string().into_bytes()
    }

    fn data(&self, host: &str, more: u8) -> Vec<u8> {
        let host = digest(&SHA256, host.as_bytes());
        [host.as_ref(), &[self.flags | more], &self.count.to_be_bytes()].concat()
    }

    /// Makes the passkey that was asked for, as it is sent to `POST /v1/passkeys`.
    pub fn make(&mut self, options: &Value, name: &str) -> Value {
        self.handle = options["user"]["id"].as_str().map(str::to_owned);
        let point = self.pair.public_key().as_ref();
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
        let head = [0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32];
        let key = [&head[..], &point[1..33], &[0x22, 0x58, 32], &point[33..]].concat();
        let host = options["rp"]["id"].as_str().expect("a host");
        let model_and_length = [&[0; 17][..], &[20]].concat();
        let data = [self.data(host, 0x40), model_and_length, self.credential.to_vec(), key].concat();
        let length = u8::try_from(data.len()).expect("short");
        // {"fmt": "none", "attStmt": {}, "authData": …}
        let attestation =
            [&b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"[..], &[length], data.as_slice()].concat();
        let client_data = self.client_data("webauthn.create", options);
        json!({"name": name, "client_data": text(&client_data), "attestation": text(&attestation)})
    }

    /// Answers what it is asked.
    pub fn answer(&mut self, options: &Value) -> Value {
        self.count += 1;
        let client_data = self.client_data("webauthn.get", options);
        let data = self.data(options["rpId"].as_str().expect("a host"), 0);
        let signed = [data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).expect("chance");
        json!({
            "credential": text(&self.credential),
            "client_data": text(&client_data),
            "authenticator_data": text(&data),
            "signature": text(signature.as_ref()),
            "user_handle": self.handle,
        })
    }

    /// Adds its passkey to the account of a session, by what proves both factors.
    ///
    /// # Errors
    /// What the platform says.
    pub async fn join(&mut self, session: &Client, factors: &Value, name: &str) -> Result<String, ApiError> {
        let options = session.post("/v1/passkeys/new", factors).await?.body;
        let made = self.make(&options, name);
        let added = session.post("/v1/passkeys", &made).await?.body;
        Ok(added["passkey"].as_str().expect("an id").to_owned())
    }

    /// Signs in.
    ///
    /// # Errors
    /// What the platform says.
    pub async fn sign_in(&mut self, nobody: &Client) -> Result<Client, ApiError> {
        let options = nobody.post("/v1/sign-in/passkey/challenge", &json!({})).await?.body;
        let body = json!({"passkey": self.answer(&options)});
        let begun = nobody.post("/v1/sign-in/passkey", &body).await?.body;
        Ok(Client::new(nobody.base(), begun["token"].as_str().expect("a session")))
    }

    /// What stands in `Lethe-Signer`, asked for in this session.
    ///
    /// # Errors
    /// What the platform says.
    pub async fn signer(&mut self, session: &Client) -> Result<String, ApiError> {
        let options = session.post("/v1/passkeys/proof", &json!({})).await?.body;
        Ok(format!("Passkey {}", STANDARD.encode(self.answer(&options).to_string())))
    }
}

impl Default for Authenticator {
    fn default() -> Self {
        Self::new()
    }
}
