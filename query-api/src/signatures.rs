//! `GET /v1/studies/{study}/participants/{participant}/signatures`: who answers for what, and whether that stands.
//!
//! A signature is evidence, so this view asks no read model: it holds each one against the commits of the journal.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::Moment;
use domain::decider::Fold;
use domain::history::{Aggregate, Commit, CommitHash, StreamId, Tail};
use domain::ids::{ParticipantId, SignatureId, StudyId};
use domain::participant::{
    Factor, Meaning, Participant, Place, Signature, SignatureCheck, SignedForm, verify_signature,
};
use domain::port::{Failure, Tenant};
use domain::scope::{Erasable, Scope};
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::Shown;
use projection_svc::row::Act;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{Answer, List};
use crate::desk::{Queries, Since};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/participants/{participant}/signatures", get(list))
}

/// A signature, held against the record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Signature)]
pub(crate) struct SignatureView {
    /// Which one.
    pub(crate) signature: SignatureId,
    /// What was signed.
    pub(crate) place: Place,
    /// What it means.
    pub(crate) meaning: Meaning,
    /// The name printed with it.
    pub(crate) printed_name: Shown<String>,
    /// Who signed and when.
    #[serde(flatten)]
    pub(crate) act: Act,
    /// How the signer was known.
    factors: Vec<Factor>,
    /// The forms that it covers, as they stood.
    #[schema(value_type = Vec<Object>)]
    forms: Vec<SignedForm>,
    /// Content hash of the design that was live.
    design: CommitHash,
    /// Over what was signed.
    pub(crate) digest: CommitHash,
    /// Nothing that it covers has changed since.
    pub(crate) holds: bool,
    /// What changed, who changed it and when.
    dropped: Option<Change>,
    /// It was dropped, and nobody has signed the same again.
    to_give_again: bool,
    /// What was found when it was held against the record just now.
    verified: SignatureCheck,
}

/// What ended a signature.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignatureDropped)]
pub(crate) struct Change {
    /// What changed: a form, or a visit's day.
    place: Place,
    /// Who changed it and when.
    #[serde(flatten)]
    act: Act,
}

/// The signatures of a participant's record, oldest first. Each is verified for this answer, over the sealed bytes: it
/// says the same after an erasure.
#[utoipa::path(get, operation_id = "list_signatures",
    path = "/v1/studies/{study}/participants/{participant}/signatures", tag = "queries",
    params(("study" = String, Path), ("participant" = uuid::Uuid, Path), Since),
    responses((status = 200, body = List<SignatureView>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, participant)): Ids<(StudyId, ParticipantId)>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<List<SignatureView>>, Problem> {
    let place = (&study, &participant);
    let (entered, _) =
        queries.enter_participant(&caller, "participant.signatures", place, since.min_position.as_deref()).await?;
    let items = verified(&entered.tenant, &study, &participant).await?;
    Ok(Answer { reflected: entered.reflected, body: List::whole(items) })
}

pub(crate) async fn verified(
    tenant: &Tenant,
    study: &StudyId,
    participant: &ParticipantId,
) -> Result<Vec<SignatureView>, Failure> {
    let stream = StreamId::in_study(&tenant.id, study, Aggregate::Participant, participant);
    let commits = tenant.journal.load(&stream, Tail::default()).await?;
    let damaged = |fault| Failure::damaged(&stream, fault);
    let mut state = Participant::default();
    for commit in commits.iter() {
        state.apply(commit).map_err(damaged)?;
    }
    let Some(record) = state.record() else { return Ok(Vec::new()) };
    let again: Vec<&SignatureId> = record.signatures.to_give_again().map(|(id, _)| id).collect();
    let mut found = Vec::new();
    for (id, signature) in &record.signatures.0 {
        let check = verify_signature(&commits, id).map_err(damaged)?;
        let at = |revision| commits.iter().find(|commit: &&Commit| commit.header.revision == revision).map(Act::of);
        if let (Some(check), Some(act)) = (check, at(signature.signed.revision)) {
            let by = signature.dropped.as_ref().and_then(|dropped| Some((dropped, at(dropped.by.revision)?)));
            let dropped = by.map(|(dropped, act)| Change { place: dropped.place.clone(), act });
            found.push(SignatureView::of(id, signature, act, dropped, again.contains(&id), check));
        }
    }
    found.sort_by_key(|one| Moment(one.act.stored_at.0));
    Ok(found)
}

impl SignatureView {
    fn of(
        id: &SignatureId,
        signature: &Signature,
        act: Act,
        dropped: Option<Change>,
        to_give_again: bool,
        verified: SignatureCheck,
    ) -> Self {
        // Whoever may see a signature sees the name with it: that is what 21 CFR 11.50 asks of it.
        let printed_name = match &signature.printed_name {
            Erasable::Known(name) => Shown::Value(name.clone()),
            Erasable::Erased => Shown::Erased { erased: Scope::UserSignature },
        };
        Self {
            signature: id.clone(),
            place: signature.place.clone(),
            meaning: signature.meaning,
            printed_name,
            act,
            factors: signature.factors.clone(),
            forms: signature.forms.clone(),
            design: signature.design,
            digest: signature.digest,
            holds: signature.holds(),
            dropped,
            to_give_again,
            verified,
        }
    }
}
