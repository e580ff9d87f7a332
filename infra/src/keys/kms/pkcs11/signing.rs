//! The key that signs, in a token. It is also what says that a tenant is at home there.

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use domain::port::{Failure, PublicKey, Signature};

use super::super::signing_name;
use super::roots::only_failure;
use super::session::{Fault, Token, is_logged_in};
use crate::chance::fill_random;

/// The curve by its name, as PKCS#11 3.0 has it; then by its object identifier, which some tokens want.
const CURVES: [&[u8]; 2] = [b"\x13\x0cedwards25519", b"\x06\x03\x2b\x65\x70"];
const POINT_LENGTH: usize = 32;

impl Token {
    pub(super) fn public_key(&self) -> Result<PublicKey, Failure> {
        self.signing_key_exists()?;
        let key = self.reading(|session| {
            let public = self.pair(session)?.map(|(_, public)| public).ok_or_else(|| self.gone())?;
            let attributes = session.get_attributes(public, &[AttributeType::EcPoint])?;
            let Some(Attribute::EcPoint(point)) = attributes.first() else {
                return Err(Failure::damaged(signing_name(&self.tenant), "the token tells no point of it").into());
            };
            // An OCTET STRING around it, or nothing: tokens differ.
            let point = point.strip_prefix(&[4, 32]).unwrap_or(point);
            let bytes: Result<[u8; POINT_LENGTH], _> = point.try_into();
            Ok(bytes.map_err(|_| Failure::damaged(signing_name(&self.tenant), "its point is not 32 bytes"))?)
        });
        key.map(PublicKey).map_err(only_failure)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        self.signing_key_exists()?;
        let bytes = self.reading(|session| {
            let private = self.pair(session)?.map(|(private, _)| private).ok_or_else(|| self.gone())?;
            let scheme = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
            let signature = session.sign(&scheme, private, message)?;
            let bytes: Result<[u8; 64], _> = signature.as_slice().try_into();
            Ok(bytes.map_err(|_| Failure::damaged("a signature of the token", "it is not 64 bytes"))?)
        });
        bytes.map(Signature).map_err(only_failure)
    }

    /// Whether this tenant was ever at home in this token. A token in which it was a moment ago and is not now has
    /// lost sight of its objects (SoftHSM does when its folder goes away, and says nothing): that is no answer.
    pub(super) fn is_at_home(&self, session: &Session) -> Result<bool, Fault> {
        if !self.find(session, ObjectClass::PRIVATE_KEY)?.is_empty() {
            self.be_known();
            return Ok(true);
        }
        is_logged_in(session)?;
        if self.is_known() {
            return Err(Failure::unavailable("PKCS#11 token", "it does not show the objects that it held").into());
        }
        Ok(false)
    }

    fn signing_key_exists(&self) -> Result<(), Failure> {
        if self.reading(|session| self.is_at_home(session)).map_err(only_failure)? {
            return Ok(());
        }
        self.writing(|session| self.ensure_signing_key(session)).map_err(only_failure)
    }

    /// Makes the pair if there is none. If another process made one at the same moment, the one with the smaller id
    /// stays, so that both end with the same.
    pub(super) fn ensure_signing_key(&self, session: &Session) -> Result<(), Fault> {
        if self.is_at_home(session)? {
            return self.pair(session).map(drop);
        }
        let mut id = [0; 16];
        fill_random(&mut id);
        tracing::trace!(target: "failpoint", at = "kms-pkcs11-before-signing-key");
        let (public, private) = self.generate(session, &id)?;
        tracing::trace!(target: "failpoint", at = "kms-pkcs11-signing-key");
        let attributes = session.get_attributes(private, &[AttributeType::NeverExtractable])?;
        if attributes != [Attribute::NeverExtractable(true)] {
            session.destroy_object(private)?;
            session.destroy_object(public)?;
            let detail = "the token made it so that it can be copied out; it was destroyed again";
            return Err(Failure::damaged(signing_name(&self.tenant), detail).into());
        }
        let smallest = self.find(session, ObjectClass::PRIVATE_KEY)?.into_iter().next();
        if smallest.is_some_and(|(first, _)| first != id) {
            session.destroy_object(private)?;
            session.destroy_object(public)?;
        }
        self.be_known();
        Ok(())
    }

    fn generate(&self, session: &Session, id: &[u8]) -> Result<(ObjectHandle, ObjectHandle), Error> {
        let label = signing_name(&self.tenant).into_bytes();
        let shared = [Attribute::Token(true), Attribute::Label(label), Attribute::Id(id.to_vec())];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let private = [&shared[..], &private].concat();
        let generate = |curve: &[u8]| {
            let public = [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(curve.to_vec())];
            session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &[&shared[..], &public].concat(), &private)
        };
        generate(CURVES[0]).or_else(|_| generate(CURVES[1]))
    }

    /// Private and public key, which belong together by their id.
    fn pair(&self, session: &Session) -> Result<Option<(ObjectHandle, ObjectHandle)>, Fault> {
        let Some((id, private)) = self.find(session, ObjectClass::PRIVATE_KEY)?.into_iter().next() else {
            return Ok(None);
        };
        let public = self.find(session, ObjectClass::PUBLIC_KEY)?.into_iter().find(|(other, _)| *other == id);
        match public {
            Some((_, public)) => Ok(Some((private, public))),
            None => Err(Failure::damaged(signing_name(&self.tenant), "the token has no public key to it").into()),
        }
    }

    /// Every signing key of this tenant, in the order of their ids.
    fn find(&self, session: &Session, class: ObjectClass) -> Result<Vec<(Vec<u8>, ObjectHandle)>, Fault> {
        let template = [
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Token(true),
            Attribute::Label(signing_name(&self.tenant).into_bytes()),
        ];
        let mut found = Vec::new();
        for key in session.find_objects(&template)? {
            match session.get_attributes(key, &[AttributeType::Id])?.into_iter().next() {
                Some(Attribute::Id(id)) => found.push((id, key)),
                _ => found.push((Vec::new(), key)),
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    fn gone(&self) -> Failure {
        Failure::missing(format!("the signing key of tenant {} in the token", self.tenant))
    }
}
