//! What passkeys say, checked (Web Authentication, Level 3).

/// Where passkeys of this platform count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyPlace {
    /// The name that a passkey is bound to (RP ID): a host.
    pub id: String,
    /// The only origin from which they are used; none: any port of this host, as on the machine of who tries it out.
    pub origin: Option<String>,
}

/// What a passkey was asked, and where.
#[derive(Debug, Clone, Copy)]
pub struct PasskeyAsked<'a> {
    /// What it has to sign, once.
    pub challenge: &'a [u8; 32],
    /// Where it counts.
    pub place: &'a PasskeyPlace,
}

/// A passkey that was made, as its authenticator says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyMade {
    /// What the authenticator knows it by.
    pub credential: Vec<u8>,
    /// Its public key, as a COSE key (RFC 9052).
    pub key: Vec<u8>,
    /// How often it was used; 0: it does not count.
    pub count: u32,
}

/// Why a passkey does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyFault {
    /// No such bytes.
    #[error("what the passkey says cannot be read")]
    Unreadable,
    /// Made where it should be used, or the other way.
    #[error("the passkey was asked for something else")]
    OtherCeremony,
    /// Another question.
    #[error("the passkey answers another challenge")]
    OtherChallenge,
    /// Another page, or a page within another.
    #[error("the passkey was used on a page of another origin")]
    OtherOrigin,
    /// Another host.
    #[error("the passkey is bound to another host")]
    OtherPlace,
    /// Nobody touched it.
    #[error("the authenticator says of nobody that they were there")]
    NobodyThere,
    /// It asked for neither finger nor PIN.
    #[error("the authenticator did not verify who used it: a PIN, a finger or a face is needed")]
    NotVerified,
    /// No such kind of key.
    #[error("the passkey's key is of no kind that is taken: ES256, EdDSA or RS256")]
    OtherKey,
    /// Not its signature.
    #[error("the signature is not that of the passkey")]
    WrongSignature,
}

/// Checks what passkeys say.
pub trait Passkeys: Send + Sync {
    /// Reads a passkey that was made for this challenge. What made it is not asked for (attestation "none").
    ///
    /// # Errors
    /// See [`PasskeyFault`].
    fn made(
        &self,
        asked: PasskeyAsked<'_>,
        client_data: &[u8],
        attestation: &[u8],
    ) -> Result<PasskeyMade, PasskeyFault>;

    /// Checks that the holder of a key answered this challenge, and says how often the passkey was used by its own count.
    ///
    /// # Errors
    /// See [`PasskeyFault`].
    fn holds(
        &self,
        asked: PasskeyAsked<'_>,
        key: &[u8],
        client_data: &[u8],
        authenticator_data: &[u8],
        signature: &[u8],
    ) -> Result<u32, PasskeyFault>;
}
