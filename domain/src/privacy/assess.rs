//! What of an erasure may be, and what keeps the rest.

use super::decide::{Facts, Here};
use super::{Assessment, Erasure, Event, Privacy, RefusalGround, Refused, RefusedScope, Stage};
use crate::Day;
use crate::decider::Decider;
use crate::history::Revision;
use crate::ids::ErasureId;
use crate::scope::{Extent, OneValue, Part, Scope};
use crate::study::Due;

impl Privacy {
    /// Granted is what was asked for and nothing keeps. What another erasure has taken meanwhile is its business.
    pub(super) fn assess(&self, erasure: ErasureId, asked: &Extent, context: &Here<'_>) -> Assessment {
        let mut assessment = Assessment::default();
        let others = || self.erasures.iter().filter(|(id, _)| **id != erasure).map(|(_, other)| other);
        for (scope, part) in asked.each() {
            if others().any(|other| other.has_taken(scope, part)) {
                continue;
            }
            let kept = self.kept_by(scope, part, context);
            match part {
                _ if !kept.is_empty() => assessment.refused.extend(kept),
                None => {
                    assessment.granted.scopes.insert(scope);
                }
                Some(part) => {
                    assessment.granted.values.insert(OneValue { scope, part: part.clone() });
                }
            }
        }
        assessment
    }

    /// All that keeps a scope, or one value of it: a hold, a rule, the person's own wish.
    fn kept_by(&self, scope: Scope, part: Option<&Part>, context: &Here<'_>) -> Vec<RefusedScope> {
        let refused = |ground| RefusedScope {
            scope,
            part: part.cloned(),
            ground,
            hold: None,
            rule: None,
            until: None,
            after: None,
        };
        let mut kept = Vec::new();
        if let Some((hold, until)) = self.hold_on(scope) {
            kept.push(RefusedScope { hold: Some(hold), until: Some(until), ..refused(RefusalGround::LegalHold) });
        }
        let today = Day(context.now.to_offset(time::UtcOffset::UTC).date());
        if let Some((rule, terms, due)) = context.rules.retention_of(scope, part, &context.governing.milestones, today)
        {
            let (until, after) = match due {
                Due::On(day) => (Some(day), None),
                Due::After(trigger) => (None, Some(trigger)),
            };
            kept.push(RefusedScope { rule: Some(rule.clone()), until, after, ..refused(terms.ground) });
        }
        if self.restriction.is_some_and(|ground| ground.keeps()) {
            kept.push(refused(RefusalGround::Restriction));
        }
        kept
    }

    /// Refuses what was granted and is kept by now.
    pub(super) fn refuse_kept(&self, granted: &Extent, context: &Here<'_>) -> Result<(), Refused> {
        let kept = granted.each().find_map(|(scope, part)| self.kept_by(scope, part, context).into_iter().next());
        match kept {
            None => Ok(()),
            Some(RefusedScope { scope, ground: RefusalGround::LegalHold, .. }) => Err(Refused::Held(scope)),
            Some(RefusedScope { scope, ground: RefusalGround::Restriction, .. }) => Err(Refused::WantedKept(scope)),
            Some(RefusedScope { scope, .. }) => Err(Refused::Retained(scope)),
        }
    }

    /// A change of holds or of the restriction, and what it means for the erasures that have not begun.
    pub(super) fn with_reassessments(&self, change: Event, context: &Here<'_>) -> Vec<Event> {
        let mut after = self.clone();
        after.evolve(&change, Revision::NONE.into());
        let mut events = vec![change];
        for (id, erasure) in &self.erasures {
            events.extend(after.reassessed(*id, erasure, context));
        }
        events
    }

    pub(super) fn assess_anew(&self, id: ErasureId, context: &Here<'_>) -> Facts {
        let erasure = self.erasure(id)?;
        match &erasure.stage {
            Stage::Requested | Stage::Assessed(_) | Stage::Approved(_) => Ok(self.reassessed(id, erasure, context)),
            Stage::Refused { .. } => Err(Refused::WasRefused),
            _ => Err(Refused::TooLate),
        }
    }

    /// The facts of a new assessment; none if it comes to the same.
    fn reassessed(&self, id: ErasureId, erasure: &Erasure, context: &Here<'_>) -> Vec<Event> {
        let anew = self.assess(id, &erasure.request.extent, context);
        let differs = match &erasure.stage {
            Stage::Assessed(before) => *before != anew,
            // An approval is not widened; it falls only if it covers more than is granted now.
            Stage::Approved(order) => !order.assessment.granted.is_within(&anew.granted),
            _ => false,
        };
        if differs { assessed(id, anew) } else { vec![] }
    }
}

impl Erasure {
    /// Whether a scope, or one value of it, is this erasure's to forget, or may become so when nothing keeps it any
    /// more. A scope takes its values along; a value takes only itself.
    pub(super) fn has_taken(&self, scope: Scope, part: Option<&Part>) -> bool {
        let is_it = |taken: Scope, of: Option<&Part>| taken == scope && (of.is_none() || of == part);
        let names = |extent: &Extent| extent.each().any(|(scope, part)| is_it(scope, part));
        match &self.stage {
            Stage::Requested => names(&self.request.extent),
            Stage::Assessed(Assessment { granted, refused }) => {
                names(granted) || refused.iter().any(|refused| is_it(refused.scope, refused.part.as_ref()))
            }
            _ => names(&self.granted()),
        }
    }
}

/// The facts of an assessment: with nothing granted the erasure is refused, on the ground that counts most.
pub(super) fn assessed(erasure: ErasureId, assessment: Assessment) -> Vec<Event> {
    let Assessment { granted, refused } = assessment;
    let nothing = granted.is_empty();
    let ground = refused.first().map_or(RefusalGround::NotJustified, |refused| refused.ground);
    let (granted, values) = (granted.scopes.into_iter().collect(), granted.values.into_iter().collect());
    let mut events = vec![Event::ErasureAssessed { erasure, granted, values, refused }];
    if nothing {
        events.push(Event::ErasureRefused { erasure, ground, reason: None });
    }
    events
}
