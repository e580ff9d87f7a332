//! What a migration to another design version changes for one participant: looked up in the journal as it stands, because
//! it depends on the values, and no read model opens those for this.

use domain::decider::Fold as _;
use domain::history::{Aggregate, CommitHash, Position, StreamId, Tail};
use domain::ids::{ParticipantId, StudyId};
use domain::participant::{MigrationReport, Participant};
use domain::permit::{Principal, may_command};
use domain::study::Study;

use crate::commands::Commands;
use crate::refusal::Refusal;

/// Why there is no report.
pub(crate) enum NoReport {
    /// As for any command.
    Refused(Refusal),
    /// Not there, or not at a site of this credential.
    NoSuchParticipant,
    /// Not published in this study.
    NoSuchDesign,
}

impl From<Refusal> for NoReport {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Commands {
    /// What the command `migrate` would change, for whoever may send it. It changes nothing.
    pub(crate) async fn migration_report(
        &self,
        caller: &Principal,
        (study, participant): (&StudyId, ParticipantId),
        to: &CommitHash,
    ) -> Result<(MigrationReport, Position), NoReport> {
        let command = "participant.migrate";
        if !may_command(caller.actor.role, command) {
            return Err(Refusal::Forbidden(command.to_owned()).into());
        }
        let tenant = self.tenants.tenant(&caller.tenant).ok_or(Refusal::NoSuchStudy)?;
        let governing = StreamId::in_study(&tenant.id, study, Aggregate::Study, study);
        self.check_environment(&tenant, &governing, command, caller).await?;
        let governing = self.governing.current::<Study>(&tenant, &governing).await?;
        let stream = StreamId::in_study(&tenant.id, study, Aggregate::Participant, participant);
        let mut state = Participant::default();
        let commits = tenant.journal.load(&stream, Tail::default()).await.map_err(Refusal::from)?;
        for commit in commits.iter() {
            state.apply(commit).map_err(|fault| Refusal::malformed(&stream, &fault))?;
        }
        let record = state.record().filter(|record| caller.sites.contains(&record.site));
        let record = record.ok_or(NoReport::NoSuchParticipant)?;
        let from = governing.state.design_of(record).ok_or(NoReport::NoSuchDesign)?;
        let to = governing.state.content(to).ok_or(NoReport::NoSuchDesign)?;
        let position = commits.last().map(|last| last.position.clone()).ok_or(NoReport::NoSuchParticipant)?;
        Ok((MigrationReport::of(record, from, to), position))
    }
}
