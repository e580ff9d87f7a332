//! Electronic signatures (21 CFR 11.50, 11.70, 11.200).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, FormKey, Place, Record, Refused, SavedItem};
use crate::decider::{Context, Recorded};
use crate::history::{CommitHash, Revision};
use crate::ids::SignatureId;
use crate::rejection::{Kind, Rejection};
use crate::scope::Plain;
use crate::study::Study;

/// What a signature means (21 CFR 11.50(a)(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// I entered or caused this.
    Authorship,
    /// I have looked at this.
    Review,
    /// I answer for this.
    Approval,
    /// I take responsibility for the participant's data, as investigator.
    Responsibility,
}

/// What somebody proved who they are with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// A password.
    Password,
    /// A one-time code.
    OneTimeCode,
    /// A passkey.
    Passkey,
    /// The bearer token of the request.
    Token,
}

/// A form as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedForm {
    /// Which form.
    pub form: FormKey,
    /// The revision that had touched it last.
    pub tag: Revision,
}

structural!(Meaning, Factor, SignedForm);

/// Who signs, after it was asked anew who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The name to be printed.
    pub printed_name: Plain,
    /// How they proved who they are.
    pub factors: Vec<Factor>,
}

/// A signature as it stands.
#[derive(Debug, Clone)]
pub struct Signature {
    /// What was signed.
    pub place: Place,
    /// What it means.
    pub meaning: Meaning,
    /// The forms that it covers, as they stood.
    pub forms: Vec<SignedForm>,
    /// Over what was signed.
    pub digest: CommitHash,
    /// Who signed, and when.
    pub signed: Recorded,
    /// Nothing that it covers has changed since.
    pub holds: bool,
}

/// All signatures of a record.
#[derive(Debug, Clone, Default)]
pub struct Signatures(pub BTreeMap<SignatureId, Signature>);

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignRefused {
    /// Nobody was asked anew.
    #[error("a signature needs to know anew who signs: send the credential with it")]
    WhoSigns,
    /// Nothing saved there.
    #[error("nothing is saved there that could be signed")]
    NothingThere,
}

impl Rejection for SignRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::WhoSigns => "reauthentication-required",
            Self::NothingThere => "nothing-to-sign",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::WhoSigns => Kind::Forbidden,
            Self::NothingThere => Kind::Invalid,
        }
    }
}

pub(super) fn decide(
    record: &Record,
    place: &Place,
    meaning: Meaning,
    signer: Option<&Signer>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let _ = (record, place, meaning, context);
    match signer {
        None => Err(SignRefused::WhoSigns.into()),
        Some(_) => Err(SignRefused::NothingThere.into()),
    }
}

/// What saving these items of `form` means for signatures.
pub(super) fn after_save(record: &Record, form: &FormKey, saved: &[SavedItem]) -> Vec<Event> {
    let _ = (record, form, saved);
    vec![]
}

impl Signatures {
    pub(super) fn evolve(&mut self, event: &Event, recorded: Recorded) {
        let _ = (event, recorded);
    }
}
