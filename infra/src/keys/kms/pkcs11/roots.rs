//! The roots in a token.

use std::collections::BTreeSet;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use domain::port::{Failure, KmsError};

use super::super::{aad, root_name, stranger, version_in, wrapped_by};
use super::session::{Fault, PAUSES, Token};
use crate::chance::fill_random;

/// The first byte of what is wrapped, then the id of the key, the nonce, and ciphertext with tag.
const FORMAT: u8 = 1;
const ID_LENGTH: usize = 16;
const NONCE_LENGTH: usize = 12;
const TAG_BITS: u64 = 128;
const KEY_LENGTH: u64 = 32;

/// What a key must say about itself to be taken for a root.
const GUARDS: [AttributeType; 5] = [
    AttributeType::Token,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::NeverExtractable,
    AttributeType::AlwaysSensitive,
];

type Id = [u8; ID_LENGTH];

impl Token {
    /// Makes a root if there is none that works. A key without a value is one that another process is still making;
    /// if it stays so, that process died over it, and the root becomes a key beside it.
    pub(super) fn create_root(&self, version: u64) -> Result<(), Failure> {
        for pause in PAUSES {
            if self.makes_root(version, false)? {
                return Ok(());
            }
            std::thread::sleep(pause);
        }
        match self.makes_root(version, true)? {
            true => Ok(()),
            false => Err(Failure::missing(format!("{} right after it was made", root_name(&self.tenant, version)))),
        }
    }

    /// Whether there is a root that works afterwards. `beside`: makes one although there is one that does not work.
    fn makes_root(&self, version: u64, beside: bool) -> Result<bool, Failure> {
        let made = self.writing(|session| {
            // First the key that says that this tenant is at home here.
            self.ensure_signing_key(session)?;
            let mut there = self.find_root(session, version)?;
            if there.is_empty() || (beside && !any_works(session, &there)) {
                self.generate_root(session, version)?;
                there = self.find_root(session, version)?;
                if there.len() > 1 {
                    // Each may have wrapped something by now, so each stays until the root is destroyed.
                    tracing::warn!(tenant = %self.tenant, version, keys = there.len(), "several keys are one root");
                }
            }
            // Of one that another process made, or this one before the token failed to answer, it is not known yet.
            for (_, key) in there.iter().filter(|(id, key)| works(session, id, *key)) {
                if is_exportable(session, *key)? {
                    let detail = "the token would let it be copied out: destroy it there";
                    return Err(Failure::damaged(root_name(&self.tenant, version), detail).into());
                }
            }
            Ok(any_works(session, &there))
        });
        made.map_err(only_failure)
    }

    fn generate_root(&self, session: &Session, version: u64) -> Result<(), Fault> {
        tracing::trace!(target: "failpoint", at = "kms-pkcs11-before-create");
        let key = session.generate_key(&Mechanism::AesKeyGen, &self.root_template(version))?;
        tracing::trace!(target: "failpoint", at = "kms-pkcs11-created");
        if is_exportable(session, key)? {
            session.destroy_object(key)?;
            let detail = "the token made it so that it can be copied out; it was destroyed again";
            return Err(Failure::damaged(root_name(&self.tenant, version), detail).into());
        }
        Ok(())
    }

    fn root_template(&self, version: u64) -> Vec<Attribute> {
        let mut id: Id = [0; ID_LENGTH];
        fill_random(&mut id);
        let mut template = vec![
            Attribute::Token(true),
            Attribute::Label(root_name(&self.tenant, version).into_bytes()),
            Attribute::Id(id.to_vec()),
            // A copy would outlive the destruction under another label.
            Attribute::Copyable(false),
            Attribute::Modifiable(false),
            Attribute::Destroyable(true),
        ];
        template.extend(secret_template());
        template
    }

    pub(super) fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.reading(|session| {
            let mut failed = None;
            // The first, as everybody: another only where the first was never written to its end.
            for (id, key) in self.find_root(session, version)? {
                match encrypt(session, &id, key, &aad(&self.tenant, version, context), plain) {
                    Ok(wrapped) => return Ok(wrapped),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            Err(failed.map_or_else(|| self.no_such(session, version), Fault::from))
        })
    }

    pub(super) fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        let damaged = |detail: &str| Fault::from(Failure::damaged(wrapped_by(version), detail));
        self.reading(|session| {
            let roots = self.find_root(session, version)?;
            if roots.is_empty() {
                return Err(self.no_such(session, version));
            }
            let Some((id, nonce, sealed)) = split(wrapped) else {
                return Err(damaged("it is too short, or of another format"));
            };
            let Some((id, key)) = roots.iter().find(|(root, _)| root[..] == *id) else {
                return Err(damaged("it was wrapped under another key that had this number"));
            };
            let context = aad(&self.tenant, version, context);
            match decrypt(session, *key, nonce, &context, sealed) {
                Err(error) if may_mean_damage(&error) && works(session, id, *key) => {
                    Err(damaged("it was not wrapped so, under this root"))
                }
                result => Ok(result?),
            }
        })
    }

    pub(super) fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        let versions = self.reading(|session| {
            let mut versions = BTreeSet::new();
            for key in session.find_objects(&secret_keys())? {
                if let Some(Attribute::Label(label)) = session.get_attributes(key, &[AttributeType::Label])?.first() {
                    versions.extend(std::str::from_utf8(label).ok().and_then(|name| version_in(&self.tenant, name)));
                }
            }
            if versions.is_empty() {
                // Nothing at all is believed only of a token that can be read.
                self.is_at_home(session)?;
            }
            Ok(versions)
        });
        versions.map_err(only_failure)
    }

    pub(super) fn destroy(&self, version: u64) -> Result<(), Failure> {
        let left = self.writing(|session| {
            let dying = self.find_root(session, version)?;
            if dying.is_empty() && !self.is_at_home(session)? {
                return Err(stranger("pkcs11", &self.tenant).into());
            }
            for (_, key) in dying {
                tracing::trace!(target: "failpoint", at = "kms-pkcs11-before-destroy");
                match session.destroy_object(key) {
                    // Somebody else was faster. What counts is what is there afterwards.
                    Ok(()) | Err(Error::Pkcs11(RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid, _)) => {}
                    Err(error) => return Err(error.into()),
                }
                tracing::trace!(target: "failpoint", at = "kms-pkcs11-destroyed");
            }
            Ok(self.find_root(session, version)?.len())
        });
        match left.map_err(only_failure)? {
            0 => Ok(()),
            _ => Err(Failure::unavailable("PKCS#11 token", "a root still lives after its destruction")),
        }
    }

    /// Every key that bears the label of a root, in the order of their ids.
    fn find_root(&self, session: &Session, version: u64) -> Result<Vec<(Id, ObjectHandle)>, Fault> {
        let mut template = secret_keys();
        template.push(Attribute::Label(root_name(&self.tenant, version).into_bytes()));
        let mut found = Vec::new();
        for key in session.find_objects(&template)? {
            match session.get_attributes(key, &[AttributeType::Id])?.first() {
                Some(Attribute::Id(id)) => found.push((id.as_slice().try_into().unwrap_or_default(), key)),
                _ => found.push((Id::default(), key)),
            }
        }
        found.sort_by_key(|(id, _)| *id);
        Ok(found)
    }

    fn no_such(&self, session: &Session, version: u64) -> Fault {
        match self.is_at_home(session) {
            Ok(true) => Fault::Other(KmsError::NoSuchVersion(version)),
            Ok(false) => stranger("pkcs11", &self.tenant).into(),
            Err(fault) => fault,
        }
    }

    /// Whether any root can be copied out; if there is none yet, whether one like it could be.
    pub(super) fn any_is_exportable(&self, session: &Session) -> Result<bool, Fault> {
        let mut roots = 0;
        for key in session.find_objects(&secret_keys())? {
            let attributes = session.get_attributes(key, &[AttributeType::Label])?;
            let Some(Attribute::Label(label)) = attributes.first() else { continue };
            if std::str::from_utf8(label).ok().and_then(|name| version_in(&self.tenant, name)).is_some() {
                roots += 1;
                if is_exportable(session, key)? {
                    return Ok(true);
                }
            }
        }
        if roots > 0 {
            return Ok(false);
        }
        // One that lives as long as the session and no longer.
        let mut template = secret_template();
        template.push(Attribute::Token(false));
        let key = session.generate_key(&Mechanism::AesKeyGen, &template)?;
        let exportable = can_be_copied_out(&session.get_attributes(key, &GUARDS)?);
        session.destroy_object(key)?;
        Ok(exportable)
    }
}

fn secret_keys() -> Vec<Attribute> {
    vec![Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES), Attribute::Token(true)]
}

fn secret_template() -> Vec<Attribute> {
    vec![
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::ValueLen(Ulong::new(KEY_LENGTH)),
    ]
}

/// What the token says of a key in it, not what was asked for.
fn is_exportable(session: &Session, key: ObjectHandle) -> Result<bool, Fault> {
    let attributes = session.get_attributes(key, &GUARDS)?;
    Ok(can_be_copied_out(&attributes) || !attributes.contains(&Attribute::Token(true)))
}

fn can_be_copied_out(attributes: &[Attribute]) -> bool {
    let kept = [
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::AlwaysSensitive(true),
    ];
    !kept.iter().all(|attribute| attributes.contains(attribute))
}

fn encrypt(session: &Session, id: &Id, key: ObjectHandle, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_LENGTH];
    fill_random(&mut nonce);
    let mut used = nonce;
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut used, aad, Ulong::new(TAG_BITS))?);
    let sealed = session.encrypt(&mechanism, key, plain)?;
    Ok([&[FORMAT][..], id, &nonce, &sealed].concat())
}

fn decrypt(session: &Session, key: ObjectHandle, nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut nonce = nonce.to_vec();
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut nonce, aad, Ulong::new(TAG_BITS))?);
    session.decrypt(&mechanism, key, sealed)
}

fn split(wrapped: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let rest = wrapped.strip_prefix(&[FORMAT])?;
    let (id, rest) = rest.split_at_checked(ID_LENGTH)?;
    let (nonce, sealed) = rest.split_at_checked(NONCE_LENGTH)?;
    Some((id, nonce, sealed))
}

/// Tokens do not agree on what they say when a tag does not fit; some say the same when they are broken.
fn may_mean_damage(error: &Error) -> bool {
    use RvError::{
        DataInvalid, DataLenRange, EncryptedDataInvalid, EncryptedDataLenRange, FunctionFailed, GeneralError,
    };
    matches!(
        error,
        Error::Pkcs11(
            EncryptedDataInvalid | EncryptedDataLenRange | DataInvalid | DataLenRange | GeneralError | FunctionFailed,
            _
        )
    )
}

/// Whether a key does what it should with something of our own: then the token is not what is broken.
fn works(session: &Session, id: &Id, key: ObjectHandle) -> bool {
    let probe = b"probe";
    let wrapped = encrypt(session, id, key, probe, probe);
    let opened = wrapped.ok().and_then(|wrapped| {
        let (_, nonce, sealed) = split(&wrapped)?;
        decrypt(session, key, nonce, probe, sealed).ok()
    });
    opened.as_deref() == Some(probe)
}

fn any_works(session: &Session, roots: &[(Id, ObjectHandle)]) -> bool {
    roots.iter().any(|(id, key)| works(session, id, *key))
}

/// For calls in which nobody asks for a version.
pub(super) fn only_failure(error: KmsError) -> Failure {
    match error {
        KmsError::Failed(failure) => failure,
        KmsError::NoSuchVersion(version) => Failure::missing(format!("root version {version}")),
    }
}
