use domain::port::PasskeyPlace;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

/// Web Authentication Level 3, 16 (test vectors): what `example.org` asked two authenticators, and what they said. The second
/// without what it attests, which is left aside here.
const VECTORS: &str = include_str!("vectors.json");

type Vector = std::collections::BTreeMap<String, String>;

fn vectors() -> Vec<Vector> {
    serde_json::from_str(VECTORS).expect("JSON")
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn challenge(text: &str) -> [u8; 32] {
    hex(text).try_into().expect("32 bytes")
}

fn place() -> PasskeyPlace {
    PasskeyPlace { id: "example.org".to_owned(), origin: Some("https://example.org".to_owned()) }
}

#[test]
fn what_the_specification_says_is_right_is_right_and_a_bit_of_it_changed_is_not() {
    let place = place();
    assert_eq!(vectors().len(), 2);
    for one in vectors() {
        let [made_for, asked] = [challenge(&one["registration_challenge"]), challenge(&one["challenge"])];
        let made_for = PasskeyAsked { challenge: &made_for, place: &place };
        let attestation = hex(&one["attestation_object"]);
        let said = data::authenticator_data_of(&attestation).expect("it reads");
        check_client_data(made_for, "webauthn.create", &hex(&one["registration_client_data"])).expect("asked so");
        let read = AuthenticatorData::read(said).expect("it reads");
        check_there(&place, &read).expect("somebody was there");
        let made = read.made.expect("a passkey was made");
        assert_eq!(made.credential, hex(&one["credential_id"]));

        let asked = PasskeyAsked { challenge: &asked, place: &place };
        let (client_data, said, signature) =
            (hex(&one["client_data"]), hex(&one["authenticator_data"]), hex(&one["signature"]));
        signed(asked, made.key, &client_data, &said, &signature).expect("it is signed");
        // None of these verified who used it.
        let whole = SystemPasskeys.holds(asked, made.key, &client_data, &said, &signature);
        assert_eq!(whole, Err(PasskeyFault::NotVerified));
        let mut other = signature.clone();
        other[20] ^= 1;
        let wrong = signed(asked, made.key, &client_data, &said, &other).err();
        assert_eq!(wrong, Some(PasskeyFault::WrongSignature));
        let mut other = said.clone();
        other[36] ^= 1;
        let wrong = signed(asked, made.key, &client_data, &other, &signature).err();
        assert_eq!(wrong, Some(PasskeyFault::WrongSignature), "the count is signed");
        let wrong = signed(made_for, made.key, &client_data, &said, &signature).err();
        assert_eq!(wrong, Some(PasskeyFault::OtherChallenge));
    }
}

/// An authenticator with an Ed25519 key that says what it is told to.
struct Told {
    pair: Ed25519KeyPair,
}

impl Told {
    fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("chance");
        Self { pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key") }
    }

    fn key(&self) -> Vec<u8> {
        // {1: 1, 3: -8, -1: 6, -2: x}
        [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], self.pair.public_key().as_ref()].concat()
    }

    fn holds(&self, client_data: &str, said: &[u8]) -> Result<u32, PasskeyFault> {
        let message = [said, digest(&SHA256, client_data.as_bytes()).as_ref()].concat();
        let signature = self.pair.sign(&message);
        let asked = PasskeyAsked { challenge: &[7; 32], place: &place() };
        SystemPasskeys.holds(asked, &self.key(), client_data.as_bytes(), said, signature.as_ref())
    }
}

fn said(host: &str, flags: u8, count: u32) -> Vec<u8> {
    [digest(&SHA256, host.as_bytes()).as_ref(), &[flags], &count.to_be_bytes()].concat()
}

fn client_data(kind: &str, origin: &str, more: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode([7; 32]);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#)
}

#[test]
fn what_was_signed_elsewhere_or_by_nobody_does_not_count() {
    let told = Told::new();
    let good = client_data("webauthn.get", "https://example.org", r#","crossOrigin":false"#);
    assert_eq!(told.holds(&good, &said("example.org", 0x05, 9)), Ok(9));
    let cases = [
        (good.clone(), said("example.org", 0x01, 9), PasskeyFault::NotVerified),
        (good.clone(), said("example.org", 0x04, 9), PasskeyFault::NobodyThere),
        (good.clone(), said("example.com", 0x05, 9), PasskeyFault::OtherPlace),
        (good.clone(), said("example.org", 0x15, 9), PasskeyFault::Unreadable),
        (good.clone(), [said("example.org", 0x05, 9), vec![0]].concat(), PasskeyFault::Unreadable),
        (good.clone(), said("example.org", 0x45, 9), PasskeyFault::Unreadable),
        (good, Vec::new(), PasskeyFault::Unreadable),
        (client_data("webauthn.create", "https://example.org", ""), vec![], PasskeyFault::OtherCeremony),
        (client_data("webauthn.get", "https://example.org:8443", ""), vec![], PasskeyFault::OtherOrigin),
        (
            client_data("webauthn.get", "https://example.org", r#","crossOrigin":true"#),
            vec![],
            PasskeyFault::OtherOrigin,
        ),
        (
            client_data("webauthn.get", "https://example.org", r#","topOrigin":"https://a.org""#),
            vec![],
            PasskeyFault::OtherOrigin,
        ),
        ("{}".to_owned(), vec![], PasskeyFault::Unreadable),
    ];
    for (client_data, said, fault) in cases {
        assert_eq!(told.holds(&client_data, &said), Err(fault), "{client_data}");
    }
}

#[test]
fn on_the_machine_of_who_tries_it_out_any_port_of_it_is_good() {
    for good in ["http://localhost:8080", "https://localhost:1", "http://localhost"] {
        assert!(is_port_of("localhost", good), "{good}");
    }
    for bad in
        ["http://localhost.org", "http://localhost:8080.org", "ftp://localhost", "localhost", "http://a/localhost"]
    {
        assert!(!is_port_of("localhost", bad), "{bad}");
    }
}

#[test]
fn a_key_of_another_kind_is_refused_and_no_bytes_break_the_reader() {
    // ES384: {1: 2, 3: -35, -1: 2}
    assert_eq!(Key::read(&[0xa3, 1, 2, 3, 0x38, 34, 0x20, 2]).err(), Some(PasskeyFault::OtherKey));
    for bytes in [&[][..], &[0xa0], &[0xbf, 0xff], &[0xa1, 1], &[0xff; 40], &[0x9f; 200]] {
        assert!(Key::read(bytes).is_err());
        assert!(data::authenticator_data_of(bytes).is_err());
        assert!(AuthenticatorData::read(bytes).is_err());
    }
}
