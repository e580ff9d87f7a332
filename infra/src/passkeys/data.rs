//! The bytes of authenticators: authenticator data (Web Authentication, 6.1) and COSE keys (RFC 9053).

use domain::port::PasskeyFault;
use minicbor::Decoder;
use minicbor::data::Type;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use PasskeyFault::{OtherKey, Unreadable};

/// The authenticator data within an attestation object (6.5.4). What it attests is left aside.
pub(super) fn authenticator_data_of(attestation: &[u8]) -> Result<&[u8], PasskeyFault> {
    if attestation.len() > super::BYTES_MAX {
        return Err(Unreadable);
    }
    let mut read = Decoder::new(attestation);
    let mut found = None;
    for _ in 0..entries(&mut read)? {
        match read.str().map_err(|_| Unreadable)? {
            "authData" => found = Some(read.bytes().map_err(|_| Unreadable)?),
            _ => read.skip().map_err(|_| Unreadable)?,
        }
    }
    if read.position() == attestation.len() { found.ok_or(Unreadable) } else { Err(Unreadable) }
}

/// What an authenticator says of one use.
pub(super) struct AuthenticatorData<'a> {
    /// SHA-256 of the host that the passkey is bound to.
    pub(super) place: &'a [u8],
    pub(super) somebody_there: bool,
    pub(super) verified: bool,
    pub(super) can_be_backed_up: bool,
    pub(super) is_backed_up: bool,
    pub(super) count: u32,
    /// The passkey that was made, where one was.
    pub(super) made: Option<Made<'a>>,
}

/// A passkey that was made.
pub(super) struct Made<'a> {
    pub(super) credential: &'a [u8],
    pub(super) key: &'a [u8],
}

const THERE: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const CAN_BE_BACKED_UP: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const MADE: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// The longest name by which an authenticator knows a passkey (7.1, 25).
const CREDENTIAL_BYTES_MAX: usize = 1023;

impl<'a> AuthenticatorData<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PasskeyFault> {
        let (place, rest) = bytes.split_at_checked(32).ok_or(Unreadable)?;
        let (flags, rest) = rest.split_first().ok_or(Unreadable)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(Unreadable)?;
        let has = |flag: u8| flags & flag != 0;
        let (made, rest) = if has(MADE) {
            let (made, rest) = Made::read(rest)?;
            (Some(made), rest)
        } else {
            (None, rest)
        };
        // Extensions were not asked for; what an authenticator adds by itself is a map, and nothing follows.
        let rest = if has(EXTENSIONS) { &rest[one_map(rest)?..] } else { rest };
        if !rest.is_empty() {
            return Err(Unreadable);
        }
        Ok(Self {
            place,
            somebody_there: has(THERE),
            verified: has(VERIFIED),
            can_be_backed_up: has(CAN_BE_BACKED_UP),
            is_backed_up: has(BACKED_UP),
            count: u32::from_be_bytes(*count),
            made,
        })
    }
}

impl<'a> Made<'a> {
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PasskeyFault> {
        let (_model, rest) = bytes.split_at_checked(16).ok_or(Unreadable)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Unreadable)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > CREDENTIAL_BYTES_MAX {
            return Err(Unreadable);
        }
        let (credential, rest) = rest.split_at_checked(length).ok_or(Unreadable)?;
        let (key, rest) = rest.split_at(one_map(rest)?);
        Ok((Self { credential, key }, rest))
    }
}

/// How many bytes the map at the beginning takes.
fn one_map(bytes: &[u8]) -> Result<usize, PasskeyFault> {
    let mut read = Decoder::new(bytes);
    match read.datatype() {
        Ok(Type::Map) => read.skip().map_err(|_| Unreadable)?,
        _ => return Err(Unreadable),
    }
    Ok(read.position())
}

fn entries(read: &mut Decoder<'_>) -> Result<u64, PasskeyFault> {
    read.map().ok().flatten().filter(|entries| *entries <= 32).ok_or(Unreadable)
}

/// A public key.
pub(super) enum Key {
    /// A point of P-256, not compressed.
    Es256([u8; 65]),
    EdDsa(Vec<u8>),
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

/// What stands in a COSE key, by its numbers.
#[derive(Default)]
struct Cose<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    /// -1: a curve, or the modulus of RSA.
    curve: Option<i64>,
    first: Option<&'a [u8]>,
    /// -2: x, or the exponent of RSA.
    second: Option<&'a [u8]>,
    /// -3: y.
    third: Option<&'a [u8]>,
}

impl<'a> Cose<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PasskeyFault> {
        let mut read = Decoder::new(bytes);
        let mut key = Self::default();
        for _ in 0..entries(&mut read)? {
            let label = read.i64().map_err(|_| Unreadable)?;
            let is_bytes = matches!(read.datatype(), Ok(Type::Bytes));
            match (label, is_bytes) {
                (1, _) => key.kind = Some(read.i64().map_err(|_| Unreadable)?),
                (3, _) => key.algorithm = Some(read.i64().map_err(|_| Unreadable)?),
                (-1, false) => key.curve = Some(read.i64().map_err(|_| Unreadable)?),
                (-1, true) => key.first = Some(read.bytes().map_err(|_| Unreadable)?),
                (-2, true) => key.second = Some(read.bytes().map_err(|_| Unreadable)?),
                (-3, true) => key.third = Some(read.bytes().map_err(|_| Unreadable)?),
                _ => read.skip().map_err(|_| Unreadable)?,
            }
        }
        Ok(key)
    }
}

impl Key {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PasskeyFault> {
        let key = Cose::read(bytes)?;
        // RFC 9053: kinds OKP 1, EC2 2, RSA 3; curves P-256 1, Ed25519 6; algorithms ES256 -7, EdDSA -8, RS256 -257.
        match (key.kind, key.algorithm, key.curve) {
            (Some(2), Some(-7), Some(1)) => {
                let (x, y) = (key.second.ok_or(Unreadable)?, key.third.ok_or(Unreadable)?);
                let point = [&[4_u8], x, y].concat();
                let long = x.len() == 32 && y.len() == 32;
                point.try_into().ok().filter(|_| long).map(Self::Es256).ok_or(Unreadable)
            }
            (Some(1), Some(-8), Some(6)) => {
                key.second.filter(|x| x.len() == 32).map(|x| Self::EdDsa(x.to_vec())).ok_or(Unreadable)
            }
            (Some(3), Some(-257), None) => {
                let (n, e) = (key.first.ok_or(Unreadable)?, key.second.ok_or(Unreadable)?);
                Ok(Self::Rs256 { n: n.to_vec(), e: e.to_vec() })
            }
            _ => Err(OtherKey),
        }
    }

    /// Whether it signed this.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rs256 { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        }
        .is_ok()
    }
}
