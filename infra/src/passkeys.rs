//! What passkeys say, checked: Web Authentication Level 3, 7.1 and 7.2, for what this platform asks of them. Keys of kind ES256,
//! EdDSA and RS256; the user verified, always; no attestation, so nobody's make of authenticator matters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::port::{PasskeyAsked, PasskeyFault, PasskeyMade, PasskeyPlace, Passkeys};
use ring::digest::{SHA256, digest};
use serde::Deserialize;

mod data;

use data::{AuthenticatorData, Key};

/// The longest that anything a passkey says may be, in bytes.
const BYTES_MAX: usize = 64 * 1024;

/// Checks passkeys with the cryptography that is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemPasskeys;

/// What the browser says was asked, where (5.8.1). It may say more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    #[serde(default)]
    top_origin: Option<String>,
}

impl Passkeys for SystemPasskeys {
    fn made(
        &self,
        asked: PasskeyAsked<'_>,
        client_data: &[u8],
        attestation: &[u8],
    ) -> Result<PasskeyMade, PasskeyFault> {
        check_client_data(asked, "webauthn.create", client_data)?;
        let said = data::authenticator_data_of(attestation)?;
        let read = AuthenticatorData::read(said)?;
        check_there(asked.place, &read)?;
        check_verified(&read)?;
        let made = read.made.ok_or(PasskeyFault::Unreadable)?;
        // A key that could never be checked is refused now.
        Key::read(made.key)?;
        Ok(PasskeyMade { credential: made.credential.to_vec(), key: made.key.to_vec(), count: read.count })
    }

    fn holds(
        &self,
        asked: PasskeyAsked<'_>,
        key: &[u8],
        client_data: &[u8],
        authenticator_data: &[u8],
        signature: &[u8],
    ) -> Result<u32, PasskeyFault> {
        let read = signed(asked, key, client_data, authenticator_data, signature)?;
        check_verified(&read)?;
        Ok(read.count)
    }
}

/// Everything but that somebody was verified.
fn signed<'a>(
    asked: PasskeyAsked<'_>,
    key: &[u8],
    client_data: &[u8],
    authenticator_data: &'a [u8],
    signature: &[u8],
) -> Result<AuthenticatorData<'a>, PasskeyFault> {
    check_client_data(asked, "webauthn.get", client_data)?;
    let read = AuthenticatorData::read(authenticator_data)?;
    check_there(asked.place, &read)?;
    let signed = [authenticator_data, digest(&SHA256, client_data).as_ref()].concat();
    if Key::read(key)?.signed(&signed, signature) { Ok(read) } else { Err(PasskeyFault::WrongSignature) }
}

fn check_client_data(asked: PasskeyAsked<'_>, ceremony: &str, client_data: &[u8]) -> Result<(), PasskeyFault> {
    if client_data.len() > BYTES_MAX {
        return Err(PasskeyFault::Unreadable);
    }
    let said: ClientData = serde_json::from_slice(client_data).map_err(|_| PasskeyFault::Unreadable)?;
    if said.r#type != ceremony {
        return Err(PasskeyFault::OtherCeremony);
    }
    if said.challenge != URL_SAFE_NO_PAD.encode(asked.challenge) {
        return Err(PasskeyFault::OtherChallenge);
    }
    let here = match &asked.place.origin {
        Some(origin) => said.origin == *origin,
        None => is_port_of(&asked.place.id, &said.origin),
    };
    if here && !said.cross_origin && said.top_origin.is_none() { Ok(()) } else { Err(PasskeyFault::OtherOrigin) }
}

/// Whether an origin is this host at any port.
fn is_port_of(host: &str, origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")) else { return false };
    match rest.strip_prefix(host) {
        Some("") => true,
        Some(port) => port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
        None => false,
    }
}

fn check_there(place: &PasskeyPlace, read: &AuthenticatorData<'_>) -> Result<(), PasskeyFault> {
    if read.place != digest(&SHA256, place.id.as_bytes()).as_ref() {
        return Err(PasskeyFault::OtherPlace);
    }
    // What is backed up could be backed up, or the flags mean nothing (7.1, 16).
    if read.is_backed_up && !read.can_be_backed_up {
        return Err(PasskeyFault::Unreadable);
    }
    if read.somebody_there { Ok(()) } else { Err(PasskeyFault::NobodyThere) }
}

fn check_verified(read: &AuthenticatorData<'_>) -> Result<(), PasskeyFault> {
    if read.verified { Ok(()) } else { Err(PasskeyFault::NotVerified) }
}

#[cfg(test)]
mod tests;
