//! Passwords as Argon2id hashes (RFC 9106), one-time codes by RFC 6238.

use std::fmt::Write as _;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use domain::port::{Failure, Secrets};
use ring::hmac;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::chance::fill_random;

/// Memory for one hash, in KiB. With two passes over it this is what OWASP asks for at least.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What a hash may ask for: one that was damaged must not take all memory.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;

/// RFC 6238, 4.1.
const STEP_SECONDS: i64 = 30;

/// RFC 4226, 4: at least 128 bits, 160 recommended.
const ONE_TIME_BYTES: usize = 20;

const DIGITS: usize = 6;

/// Secrets of people, with the chance of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSecrets;

/// What an authenticator with this secret shows at a moment; none if it is no secret.
pub fn shown_by_authenticator(one_time: &str, at: OffsetDateTime) -> Option<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &from_base32(one_time)?);
    let step = u64::try_from(at.unix_timestamp().div_euclid(STEP_SECONDS)).ok()?;
    Some(one_time_code(&key, step))
}

impl Secrets for SystemSecrets {
    fn hash_password(&self, password: &str) -> Result<String, Failure> {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt);
        let cost = Cost { memory_kib: MEMORY_KIB, passes: PASSES, lanes: 1 };
        let hash =
            cost.hash(password, &salt).ok_or_else(|| Failure::unavailable("memory for a hash", "none is left"))?;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        Ok(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}"))
    }

    fn is_password(&self, password: &str, hash: &str) -> bool {
        let Some((cost, salt, expected)) = parse(hash) else { return false };
        cost.hash(password, &salt).is_some_and(|found| same(&found, &expected))
    }

    fn one_time_secret(&self) -> String {
        let mut secret = [0; ONE_TIME_BYTES];
        fill_random(&mut secret);
        base32(&secret)
    }

    fn step_of(&self, one_time: &str, code: &str, now: OffsetDateTime) -> Option<u64> {
        let secret = from_base32(one_time)?;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
        let current = u64::try_from(now.unix_timestamp().div_euclid(STEP_SECONDS)).ok()?;
        let near = [current.saturating_sub(1), current, current + 1];
        // All three are compared, whichever fits.
        let fits = near.map(|step| same(one_time_code(&key, step).as_bytes(), code.as_bytes()));
        near.into_iter().zip(fits).rev().find_map(|(step, fits)| fits.then_some(step))
    }
}

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    fn hash(self, password: &str, salt: &[u8]) -> Option<[u8; HASH_BYTES]> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES)).ok()?;
        let mut hash = [0; HASH_BYTES];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(password.as_bytes(), salt, &mut hash).ok()?;
        Some(hash)
    }
}

/// Reads a PHC string: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
fn parse(hash: &str) -> Option<(Cost, Vec<u8>, Vec<u8>)> {
    let [costs, salt, hash] = hash.strip_prefix("$argon2id$v=19$")?.split('$').collect::<Vec<_>>().try_into().ok()?;
    let [memory, passes, lanes] = costs.split(',').collect::<Vec<_>>().try_into().ok()?;
    let number = |text: &str, name: &str| text.strip_prefix(name)?.parse::<u32>().ok();
    let cost = Cost { memory_kib: number(memory, "m=")?, passes: number(passes, "t=")?, lanes: number(lanes, "p=")? };
    let good = cost.memory_kib <= MEMORY_KIB_MAX && cost.passes <= 16 && cost.lanes <= 16;
    let (salt, hash) = (STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(hash).ok()?);
    good.then_some((cost, salt, hash))
}

/// Compares digests, so that the time taken says nothing of what was compared.
fn same(one: &[u8], other: &[u8]) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

/// RFC 4226, 5.3: dynamic truncation.
fn one_time_code(key: &hmac::Key, step: u64) -> String {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes[bytes.len() - 1] & 0xf);
    let word = u32::from_be_bytes([bytes[at] & 0x7f, bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let mut code = String::with_capacity(DIGITS);
    write!(code, "{:0DIGITS$}", word % 10_u32.pow(DIGITS as u32)).expect("a text takes digits");
    code
}

/// RFC 4648, 6: without padding, as authenticators take it.
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let bits = |at: usize| (bytes[at / 8] >> (7 - at % 8)) & 1;
    let count = bytes.len() * 8;
    let letter = |at: usize| {
        let five = (at..at + 5).fold(0, |sum, bit| (sum << 1) | if bit < count { bits(bit) } else { 0 });
        char::from(LETTERS[usize::from(five)])
    };
    (0..count).step_by(5).map(letter).collect()
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.bytes() {
        let five = LETTERS.iter().position(|known| *known == letter.to_ascii_uppercase())?;
        held = (held << 5) | u32::try_from(five).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, SHA-1; the last six of the eight digits there.
    const VECTORS: [(i64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).expect("a time")
    }

    #[test]
    fn one_time_codes_are_those_of_the_standard_and_hold_for_a_step_around() {
        let secret = base32(b"12345678901234567890");
        assert_eq!(secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (seconds, code) in VECTORS {
            let step = u64::try_from(seconds / 30).expect("positive");
            assert_eq!(shown_by_authenticator(&secret, at(seconds)).as_deref(), Some(code));
            for around in [-30, 0, 30] {
                assert_eq!(
                    SystemSecrets.step_of(&secret, code, at(seconds + around)),
                    Some(step),
                    "{seconds} {around}"
                );
            }
            for far in [-61, 61] {
                assert_eq!(SystemSecrets.step_of(&secret, code, at(seconds + far)), None, "{seconds} {far}");
            }
        }
        for wrong in ["", "287083", "0287082", "287082 "] {
            assert_eq!(SystemSecrets.step_of(&secret, wrong, at(59)), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_160_bits_and_reads_back() {
        let (one, two) = (SystemSecrets.one_time_secret(), SystemSecrets.one_time_secret());
        assert_ne!(one, two);
        assert_eq!(from_base32(&one).map(|bytes| bytes.len()), Some(20));
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar"] {
            assert_eq!(from_base32(&base32(text.as_bytes())), Some(text.as_bytes().to_vec()));
        }
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI", "RFC 4648, 10");
        assert_eq!(from_base32("1"), None);
    }

    /// From the tests of the reference implementation.
    const REFERENCE: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn a_hash_is_that_of_its_password_and_of_no_other() {
        assert!(SystemSecrets.is_password("password", REFERENCE));
        let hash = SystemSecrets.hash_password("a long enough word").expect("memory");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(SystemSecrets.is_password("a long enough word", &hash));
        assert!(!SystemSecrets.is_password("a long enough Word", &hash));
        assert_ne!(SystemSecrets.hash_password("a long enough word").expect("memory"), hash, "a salt of its own");
        for broken in ["", "$argon2id$", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFh", &hash[..hash.len() - 2]] {
            assert!(!SystemSecrets.is_password("a long enough word", broken), "{broken}");
        }
        let greedy = hash.replace("m=19456", "m=4294967295");
        assert!(!SystemSecrets.is_password("a long enough word", &greedy));
    }
}
