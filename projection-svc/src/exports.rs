//! The register of exports: who got which data, what for, until when; and for each participant which exports held them.

use domain::export::{Cause, Event, File, Frame, Order, Stage};
use domain::history::{Aggregate, Commit, CommitHash};
use domain::ids::{CommandId, ExportId, Label, ParticipantId, StudyId};
use domain::port::{Failure, Tenant};
use domain::structural;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::erasures::{Given, Recipient};
use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, RowKey, kinds, person};
use crate::shown::Visible;
use crate::view;

// --- row

/// An export as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Export {
    /// Which.
    pub export: ExportId,
    /// How far it is.
    pub stage: Stage,
    /// What was ordered.
    #[serde(flatten)]
    pub order: Order,
    /// What it came to, with the rights of the one who ordered.
    pub frame: Frame,
    /// Who ordered it and when.
    pub started: Act,
    /// When its files were whole.
    pub completed: Option<Act>,
    /// How many participants it held.
    pub participants: u64,
    /// Hash of its signed manifest; shown to the one who ordered it.
    pub manifest: Option<CommitHash>,
    /// Its files; shown to the one who ordered it.
    pub files: Vec<File>,
    /// The copies that were handed on.
    pub copies: Vec<Handed>,
    /// Why its files were deleted here.
    pub cause: Option<Cause>,
    /// When they were, or when it failed, and by whom.
    pub ended: Option<Act>,
}

/// A copy that was handed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ExportCopy)]
pub struct Handed {
    /// Which.
    pub copy: CommandId,
    /// To whom.
    pub recipient: Label,
    /// What for.
    pub purpose: Label,
    /// Who said so and when.
    pub given: Act,
}

/// That an export held a participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    export: ExportId,
}

structural!(Export, Holds);

kinds! {
    /// What the table holds.
    #[expect(clippy::large_enum_variant, reason = "rows are handled one by one, never in arrays")]
    pub enum ExportRow {
        /// An export.
        "export" Export(Export),
        /// An export that held a participant.
        "holds" Holds(Holds),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Exports;

const ALL: &str = "export/";
const HOLDS: &str = "in/";

fn key(study: &StudyId, export: ExportId) -> RowKey {
    RowKey::plain(Some(study), format!("{ALL}{export}"))
}

impl Projection for Exports {
    const NAME: &'static str = "exports";
    const VERSION: u32 = 2;
    type Row = ExportRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Export
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, ExportRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Ok(export)) = (&stream.journal.study, stream.id.parse::<ExportId>()) else {
            return Ok(());
        };
        let key = key(study, export);
        for event in commit.facts::<Event>()? {
            let before = match rows.get(&key)? {
                Some(ExportRow::Export(row)) => Some(row.clone()),
                Some(ExportRow::Holds(_)) | None => None,
            };
            if let Event::Listed { participants } = &event {
                for participant in participants {
                    let row = RowKey::about(Some(study), person(*participant), format!("{HOLDS}{export}"));
                    rows.put(row, ExportRow::Holds(Holds { export }));
                }
            }
            if let Some(row) = after(export, before, event, commit) {
                rows.put(key.clone(), ExportRow::Export(row));
            }
        }
        Ok(())
    }
}

fn after(export: ExportId, before: Option<Export>, event: Event, commit: &Commit) -> Option<Export> {
    let act = Act::of(commit);
    if let Event::Started { order, frame } = event {
        return Some(Export {
            export,
            stage: Stage::Writing,
            order,
            frame,
            started: act,
            completed: None,
            participants: 0,
            manifest: None,
            files: Vec::new(),
            copies: Vec::new(),
            cause: None,
            ended: None,
        });
    }
    let mut row = before?;
    match event {
        Event::Started { .. } => {}
        Event::Listed { participants } => row.participants += participants.len() as u64,
        Event::Completed { manifest, files } => {
            (row.stage, row.completed) = (Stage::Held, Some(act));
            (row.manifest, row.files) = (Some(manifest), files);
        }
        Event::Failed {} => (row.stage, row.ended) = (Stage::Failed, Some(act)),
        Event::CopyGiven { copy, recipient, purpose } => {
            row.copies.push(Handed { copy, recipient, purpose, given: act });
        }
        Event::Deleted { cause } => {
            (row.stage, row.cause, row.ended) = (Stage::Deleted, Some(cause), Some(act));
        }
    }
    Some(row)
}

// --- readers

/// The exports of a study, the newest first.
///
/// # Errors
/// What the store says.
pub async fn list(tenant: &Tenant, study: &StudyId) -> Result<Vec<Export>, Failure> {
    let prefix = RowKey::plain(Some(study), ALL);
    let mut found = Vec::new();
    for (_, open) in view::scan::<Exports>(tenant, &prefix, None, usize::MAX, &Visible::none()).await? {
        if let ExportRow::Export(row) = open.row {
            found.push(row);
        }
    }
    found.sort_by_key(|row| std::cmp::Reverse((row.started.stored_at, row.export)));
    Ok(found)
}

/// One export.
///
/// # Errors
/// What the store says.
pub async fn show(tenant: &Tenant, study: &StudyId, export: ExportId) -> Result<Option<Export>, Failure> {
    match view::get::<Exports>(tenant, &key(study, export)).await? {
        Some(ExportRow::Export(row)) => Ok(Some(row)),
        Some(ExportRow::Holds(_)) | None => Ok(None),
    }
}

/// The exports that held a participant, the oldest first.
///
/// # Errors
/// What the store says.
pub async fn of_person(tenant: &Tenant, study: &StudyId, participant: ParticipantId) -> Result<Vec<Export>, Failure> {
    let prefix = RowKey::about(Some(study), person(participant), HOLDS);
    let mut found = Vec::new();
    for (_, open) in view::scan::<Exports>(tenant, &prefix, None, usize::MAX, &Visible::none()).await? {
        if let ExportRow::Holds(Holds { export }) = open.row {
            found.extend(show(tenant, study, export).await?);
        }
    }
    found.sort_by_key(|row| (row.started.stored_at, row.export));
    Ok(found)
}

/// Everybody who got data of a participant, each once, the first of them first.
///
/// # Errors
/// What the store says.
pub async fn recipients_of(
    tenant: &Tenant,
    study: &StudyId,
    participant: ParticipantId,
) -> Result<Vec<Recipient>, Failure> {
    let mut all: Vec<Recipient> = Vec::new();
    let mut give = |recipient: Label, given: Given| match all.iter_mut().find(|known| known.recipient == recipient) {
        Some(known) => known.given.push(given),
        None => all.push(Recipient { recipient, given: vec![given] }),
    };
    for row in of_person(tenant, study, participant).await? {
        let export = row.export;
        if let Some(completed) = &row.completed {
            let Order { recipient, purpose, .. } = row.order;
            give(recipient, Given { purpose, export, copy: None, given_at: completed.stored_at });
        }
        for Handed { copy, recipient, purpose, given } in row.copies {
            give(recipient, Given { purpose, export, copy: Some(copy), given_at: given.stored_at });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World, label, tenant};
    use domain::Moment;
    use domain::export::Format;
    use domain::history::StreamId;
    use time::macros::datetime;
    use uuid::Uuid;

    const EXPORT: ExportId = ExportId(Uuid::from_u128(70));

    fn people(of: &[u128]) -> Vec<ParticipantId> {
        of.iter().map(|n| ParticipantId(Uuid::from_u128(*n))).collect()
    }

    fn story() -> Story {
        let order = Order {
            recipient: label("Statistics"),
            purpose: label("Interim analysis"),
            expires_at: Moment(datetime!(2027-01-01 0:00 UTC)),
            instruction: None,
            formats: [Format::Csv].into(),
            sites: Default::default(),
            design: None,
            history: Default::default(),
            tables: Default::default(),
            guard_formulas: false,
        };
        let frame =
            Frame { sites: Default::default(), scopes: Default::default(), design: CommitHash([1; 32]), position: 3 };
        let mut story = Story::new();
        let stream = StreamId::in_study(&tenant(), &Story::study_id(), Aggregate::Export, EXPORT);
        story.commit(stream.clone(), &[Event::Started { order, frame }]);
        story.commit(stream.clone(), &[Event::Listed { participants: people(&[1, 2]) }]);
        story.commit(stream.clone(), &[Event::Listed { participants: people(&[3]) }]);
        story.commit(stream.clone(), &[Event::Completed { manifest: CommitHash([2; 32]), files: vec![] }]);
        let copy = CommandId(Uuid::from_u128(8));
        story.commit(
            stream.clone(),
            &[Event::CopyGiven { copy, recipient: label("Registry"), purpose: label("Safety") }],
        );
        let copy = CommandId(Uuid::from_u128(9));
        let again = Event::CopyGiven { copy, recipient: label("Statistics"), purpose: label("Interim analysis") };
        story.commit(stream.clone(), &[again]);
        story.commit(stream, &[Event::Deleted { cause: Cause::Expired }]);
        story
    }

    #[tokio::test]
    async fn an_export_is_listed_with_its_copies_and_found_by_whom_it_held() {
        let world = World::of::<Exports>(&story()).await;
        let found = list(&world.tenant, &Story::study_id()).await.expect("reads");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].participants, found[0].stage, found[0].cause), (3, Stage::Deleted, Some(Cause::Expired)));
        assert_eq!(
            found[0].copies.iter().map(|copy| copy.recipient.as_str()).collect::<Vec<_>>(),
            ["Registry", "Statistics"]
        );
        for (n, held) in [(1, 1), (3, 1), (4, 0)] {
            let of = of_person(&world.tenant, &Story::study_id(), ParticipantId(Uuid::from_u128(n))).await;
            assert_eq!(of.expect("reads").len(), held, "{n}");
        }
        let told = recipients_of(&world.tenant, &Story::study_id(), ParticipantId(Uuid::from_u128(1))).await;
        let told: Vec<_> = told.expect("reads").into_iter().map(|one| (one.recipient, one.given.len())).collect();
        assert_eq!(told, [(label("Statistics"), 2), (label("Registry"), 1)], "each once, with all that it was given");
    }
}
