//! What an erasure touches, counted before anything happens: the person's streams, the rows of every read model, the exports.
//!
//! Nothing is shown of any value. What was erased before is not counted again: it is not there.

use std::collections::BTreeSet;

use domain::field::{Field as _, PERSONAL};
use domain::history::{Aggregate, DataSubject, StreamId, Tail};
use domain::ids::{ExportId, Label, ParticipantId, StudyId};
use domain::port::{Failure, Tenant, TreeCopies};
use domain::scope::{DesignScoped, Erasable, Extent, Part, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::row::{RowKey, person};
use crate::{exports, frame, tables};

/// What an erasure touches, and what it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ErasureImpact)]
pub struct Impact {
    /// Commits of each of the person's streams. All of them stay; values in them become unreadable.
    pub streams: Vec<StreamTouched>,
    /// How many keys cover what becomes unreadable.
    pub keys: u64,
    /// Rows of each read model. Sealed cells become unreadable and are taken out; the rows stay.
    pub read_models: Vec<ModelTouched>,
    /// The exports that held the person.
    pub exports: Vec<ExportTouched>,
    /// Everybody who got data of the person: they are told (GDPR Art 19), and delete their copies themselves.
    pub recipients: Vec<Label>,
    /// Whether a copy of the key tree stands elsewhere. Every older copy of it, there and in backups, is sealed under a root
    /// key that is destroyed.
    pub key_tree_copies: TreeCopies,
}

/// One stream of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamTouched {
    /// Which.
    pub stream: Aggregate,
    /// How many commits it has: who did what and when stays.
    pub commits: u64,
    /// How many values become unreadable.
    pub values_gone: u64,
    /// How many stay readable.
    pub values_kept: u64,
}

/// One read model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelTouched {
    /// Its name.
    pub model: String,
    /// How many rows it has about the person.
    pub rows: u64,
    /// How many sealed cells in them become unreadable.
    pub cells_gone: u64,
    /// How many stay.
    pub cells_kept: u64,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportTouched {
    /// Which.
    pub export: ExportId,
    /// Who ordered it for whom.
    pub recipient: Label,
    /// Whether its files are held here: then they are deleted here.
    pub held: bool,
}

/// Counts what an erasure of `extent` touches.
///
/// # Errors
/// What the journal, the store and the keys say.
pub async fn impact(
    tenant: &Tenant,
    study: &StudyId,
    participant: ParticipantId,
    extent: &Extent,
) -> Result<Impact, Failure> {
    let (mut streams, mut keys) = (Vec::new(), BTreeSet::new());
    for aggregate in [Aggregate::Participant, Aggregate::Identity, Aggregate::Privacy] {
        let stream = StreamId::in_study(&tenant.id, study, aggregate, participant);
        let mut touched = StreamTouched { stream: aggregate, commits: 0, values_gone: 0, values_kept: 0 };
        for commit in tenant.journal.load(&stream, Tail::default()).await? {
            touched.commits += 1;
            for event in &commit.events {
                each_value(&event.body, &mut |scope, part| {
                    if extent.covers(scope, &part) {
                        touched.values_gone += 1;
                        keys.insert((scope, part));
                    } else {
                        touched.values_kept += 1;
                    }
                });
            }
        }
        streams.push(touched);
    }
    let read_models = read_models(tenant, study, person(participant), extent)?;
    let mut exported = Vec::new();
    for export in exports::of_person(tenant, study, participant).await? {
        let held = matches!(export.stage, domain::export::Stage::Writing | domain::export::Stage::Held);
        exported.push(ExportTouched { export: export.export, recipient: export.order.recipient, held });
    }
    let recipients = exports::recipients_of(tenant, study, participant).await?;
    Ok(Impact {
        streams,
        keys: keys.len() as u64,
        read_models,
        exports: exported,
        recipients: recipients.into_iter().map(|known| known.recipient).collect(),
        key_tree_copies: tenant.keys.copies(),
    })
}

/// Rows as they are stored: nothing is opened.
fn read_models(
    tenant: &Tenant,
    study: &StudyId,
    who: DataSubject,
    extent: &Extent,
) -> Result<Vec<ModelTouched>, Failure> {
    let mut touched = Vec::new();
    for model in crate::projections() {
        let table = tables::live_table(tenant.store.as_ref(), model.name())?;
        let prefix = RowKey::about(Some(study), who, "").bytes();
        let mut one = ModelTouched { model: model.name().to_owned(), rows: 0, cells_gone: 0, cells_kept: 0 };
        for (_, bytes) in tenant.store.scan(&table, &prefix, None, usize::MAX)? {
            let row = frame::decode(&bytes);
            let row = row.map_err(|fault| Failure::damaged(format!("a row of the read model {}", one.model), fault))?;
            one.rows += 1;
            for ((scope, part), _) in row.cells {
                *(if extent.covers(scope, &part) { &mut one.cells_gone } else { &mut one.cells_kept }) += 1;
            }
        }
        if one.rows > 0 {
            touched.push(one);
        }
    }
    Ok(touched)
}

/// Every personal value in an open body that is still readable.
fn each_value(node: &Value, tell: &mut impl FnMut(Scope, Part)) {
    match node {
        Value::Object(fields) if fields.contains_key(PERSONAL) => {
            if let Ok(DesignScoped { scope, part, value: Erasable::Known(_) }) = DesignScoped::<Value>::read(node) {
                tell(scope, part);
            }
        }
        Value::Object(fields) => fields.values().for_each(|field| each_value(field, tell)),
        Value::Array(items) => items.iter().for_each(|item| each_value(item, tell)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World, details, participant};
    use domain::identity::{self, Detail};

    #[tokio::test]
    async fn what_goes_is_counted_apart_from_what_stays() {
        let mut story = Story::new();
        story.registered(1, "oslo");
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("NOTE", Scope::HealthFreeText, "tired")]);
        story.identity(1, identity::Event::Recorded { details: details([(Detail::Email, "ada@example.org")]) });
        story.registered(2, "oslo");
        story.saved(2, "VS", &[("SYSBP", Scope::HealthClinical, "130")]);
        let world = World::folded(&story).await;
        let counted = async |scopes: &[Scope]| {
            let extent = Extent::of_scopes(scopes.iter().copied());
            impact(&world.tenant, &Story::study_id(), participant(1), &extent).await.expect("counts")
        };
        let contact = counted(&[Scope::IdentityContact]).await;
        let streams: Vec<_> =
            contact.streams.iter().map(|one| (one.commits, one.values_gone, one.values_kept)).collect();
        assert_eq!(streams, [(2, 0, 2), (1, 1, 0), (0, 0, 0)]);
        assert_eq!(contact.keys, 1);
        let of = |impact: &Impact, model: &str| {
            let found = impact.read_models.iter().find(|one| one.model == model).cloned();
            found.map(|one| (one.cells_gone, one.cells_kept))
        };
        assert_eq!(of(&contact, "identity"), Some((1, 0)));
        assert_eq!(of(&contact, "casebook").map(|(gone, _)| gone), Some(0));
        let health = counted(&[Scope::HealthClinical, Scope::HealthFreeText]).await;
        assert_eq!((health.streams[0].values_gone, health.keys), (2, 2));
        assert!(of(&health, "casebook").is_some_and(|(gone, _)| gone > 0));
        assert_eq!(of(&health, "identity"), Some((0, 1)));
    }
}
