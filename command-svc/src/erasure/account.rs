//! What a certificate is to say of an erasure: read from its facts.

use domain::history::{Commit, StreamId};
use domain::ids::{ErasureId, InstructionId, UserId};
use domain::port::{Destruction, ErasureAccount, Failure, Shredded, Target, TreeCopies};
use domain::privacy::{Event, Justification, RefusedScope};
use time::OffsetDateTime;

use crate::refusal::Refusal;

/// The facts of one erasure, as far as a certificate names them.
#[derive(Default)]
struct Told {
    justification: Option<Justification>,
    requested: Option<(UserId, OffsetDateTime)>,
    kept: Vec<RefusedScope>,
    approved: Option<(UserId, OffsetDateTime, InstructionId)>,
    begun: Option<u64>,
    committed: Option<OffsetDateTime>,
    scheduled: Option<OffsetDateTime>,
    destroyed: Option<(Vec<Shredded>, TreeCopies, OffsetDateTime)>,
    recipients: Option<u32>,
    probed: Option<u64>,
}

/// The account of an erasure that is verified.
pub(super) fn of(stream: &StreamId, commits: &[Commit], erasure: ErasureId) -> Result<ErasureAccount, Refusal> {
    let mut told = Told::default();
    for commit in commits {
        let facts: Vec<Event> = commit.facts().map_err(|fault| Refusal::malformed(stream, &fault))?;
        facts.into_iter().for_each(|fact| told.take(stream, commit, erasure, fact));
    }
    let incomplete = || Failure::damaged(stream, "a step of an erasure is missing that comes before its certificate");
    Ok(told.account(stream, erasure).ok_or_else(incomplete)?)
}

impl Told {
    fn take(&mut self, stream: &StreamId, commit: &Commit, wanted: ErasureId, fact: Event) {
        let at = commit.header.stored_at;
        match fact {
            Event::ErasureRequested { erasure, justification, requested_by, .. } if erasure == wanted => {
                self.justification = Some(justification);
                self.requested = Some((requested_by, at));
            }
            Event::ErasureAssessed { erasure, refused, .. } if erasure == wanted => self.kept = refused,
            Event::ErasureApproved { erasure, approved_by, instruction, .. } if erasure == wanted => {
                self.approved = Some((approved_by, at, instruction));
            }
            Event::ErasureBegun { erasure } if erasure == wanted => self.begun = Some(commit.header.revision.0),
            Event::ErasureCommitted { erasure } if erasure == wanted => self.committed = Some(at),
            Event::DestructionScheduled { erasure, until } if erasure == wanted => self.scheduled = Some(until.0),
            Event::KeysDestroyed { erasure, destroyed, copy, .. } if erasure == wanted => {
                let target = |scope, part| Some(Target { data_subject: stream.data_subject()?, scope, part });
                let shredded = destroyed.into_iter().filter_map(|one| {
                    let target = target(one.scope, one.part)?;
                    let (keys, root_before, root_after) = (one.keys, one.root_before, one.root_after);
                    Some(Shredded { target, keys, root_before, root_after })
                });
                self.destroyed = Some((shredded.collect(), copy, at));
            }
            Event::RecipientsNotified { erasure, recipients } if erasure == wanted => {
                self.recipients = Some(recipients);
            }
            Event::ErasureVerified { erasure, probed, .. } if erasure == wanted => self.probed = Some(probed),
            _ => {}
        }
    }

    fn account(self, stream: &StreamId, erasure: ErasureId) -> Option<ErasureAccount> {
        let (destroyed, copy, destroyed_at) = self.destroyed?;
        Some(ErasureAccount {
            erasure,
            stream: stream.clone(),
            justification: self.justification?,
            requested: self.requested?,
            approved: self.approved?,
            begun: self.begun?,
            logically_effective_at: self.committed?,
            // The KMS let go at the date that it had named; the platform found out some time later.
            cryptographically_complete_by: self.scheduled.unwrap_or(destroyed_at),
            destroyed,
            next_due: self.kept.iter().filter_map(|kept| kept.until).min(),
            kept: self.kept,
            destruction: Destruction::Done,
            copy,
            recipients: self.recipients?,
            probed: self.probed?,
        })
    }
}
