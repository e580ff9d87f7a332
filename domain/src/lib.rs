//! Every rule of Lethe, and nothing that touches the world.
//!
//! - The frame: [`decider`] (state and command in, facts out), [`history`] (streams and commits), [`scope`] and
//!   [`field`] (personal data is tagged by type), [`body`] (structure apart from values), [`upcast`] (old shapes).
//! - The aggregates, one file each in one order (facts, state, evolve, commands, decide, rejections, tests):
//!   [`study`], [`design_part`], [`participant`], [`identity`], [`privacy`], [`user`], [`randomisation`], [`subject_number`],
//!   [`export`], [`account`], [`access`], [`incident`].
//! - [`permit`]: who may do what. [`policy`]: whenever this, then that. [`port`]: what we ask of the world.

#[macro_use]
pub mod field;

pub mod access;
pub mod account;
pub mod body;
pub mod decider;
pub mod design;
pub mod design_part;
pub mod export;
pub mod history;
pub mod identity;
pub mod ids;
pub mod incident;
#[cfg(test)]
mod laws;
pub mod network;
pub mod open_body;
pub mod participant;
pub mod permit;
pub mod policy;
pub mod port;
pub mod privacy;
pub mod randomisation;
pub mod rejection;
pub mod rotation;
pub mod scope;
pub mod study;
pub mod subject_number;
#[cfg(test)]
mod testing;
pub mod upcast;
pub mod user;

structural!(
    ids::ParticipantId,
    ids::UserId,
    ids::TokenId,
    ids::RightId,
    ids::ReviewId,
    ids::SessionId,
    ids::AttemptId,
    ids::PasskeyId,
    ids::CommandId,
    ids::ErasureId,
    ids::HoldId,
    ids::StudyId,
    ids::SiteId,
    ids::SubjectNumber,
    ids::OrganisationId,
    ids::InstructionId,
    ids::Oid,
    ids::ConsentVersion,
    ids::Label,
    ids::RuleId,
    ids::CheckId,
    ids::QueryId,
    ids::SignatureId,
    ids::ListId,
    ids::AllocationId,
    ids::ExportId,
    ids::UnblindingId,
    ids::ReadId,
    ids::IncidentId,
    ids::ViewName,
    ids::TraceId,
    ids::Environment,
    scope::Scope,
    scope::Part,
    scope::OneValue,
    permit::Role,
    permit::Sites,
    history::ActorKind,
    history::CommitHash,
    Moment,
    Day,
    bool,
    u32,
    u64,
);

/// Which field of which fact holds which kind of personal data: generated from the types, so it is never out of date.
pub fn data_map() -> Vec<field::DataMapRow> {
    use field::Fact;
    [
        study::Event::data_map(),
        design_part::Event::data_map(),
        participant::Event::data_map(),
        identity::Event::data_map(),
        privacy::Event::data_map(),
        user::Event::data_map(),
        account::Event::data_map(),
        randomisation::Event::data_map(),
        subject_number::Event::data_map(),
        export::Event::data_map(),
        access::Event::data_map(),
        incident::Event::data_map(),
    ]
    .concat()
}

/// A time of an act, RFC 3339 in UTC. Not for dates about a person: those are personal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Moment(#[serde(with = "time::serde::rfc3339")] pub time::OffsetDateTime);

time::serde::format_description!(iso_date, Date, "[year]-[month]-[day]");

/// A day of an act or a due date, `2026-11-22`. Not for dates about a person: those are personal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String, format = Date)]
pub struct Day(#[serde(with = "iso_date")] pub time::Date);
