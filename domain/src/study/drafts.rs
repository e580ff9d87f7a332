//! Drafts of design versions: stored, readable, compared and checked like a published one, and in force nowhere.
//!
//! A draft is found by its content hash. One of the same name takes the place of the one before it; publishing one ends
//! it. A draft may have faults: they are told, and keep it from being published.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Event, Refused, Study};
use crate::design::StudyDesign;
use crate::history::CommitHash;
use crate::ids::Label;
use crate::rejection::Fault;

/// Drafts by the name of their version.
#[derive(Debug, Clone, Default)]
pub struct Drafts(pub BTreeMap<Label, Drafted>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Drafted {
    /// Content hash of the whole.
    pub design: CommitHash,
    /// Content hashes of its parts, in order.
    pub parts: Vec<CommitHash>,
}

impl Study {
    pub(super) fn draft(
        &self,
        design: &CommitHash,
        version: &Label,
        parts: &[CommitHash],
    ) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?.unlocked()?;
        let known = setup.designs.contains_key(design);
        if known || setup.versions.drafts.0.get(version).is_some_and(|draft| draft.design == *design) {
            return Ok(vec![]);
        }
        Ok(vec![Event::DesignDrafted { design: *design, version: version.clone(), parts: parts.to_vec() }])
    }

    pub(super) fn publish_draft(&self, design: &CommitHash) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
        if setup.designs.contains_key(design) {
            return Ok(vec![]);
        }
        let mut drafts = setup.versions.drafts.0.iter();
        let (version, draft) = drafts.find(|(_, draft)| draft.design == *design).ok_or(Refused::NoSuchDraft)?;
        let content = setup.versions.contents.get(design).ok_or(Refused::OtherContent)?;
        let faults = content.faults();
        if !faults.is_empty() {
            return Err(Refused::Unusable(faults));
        }
        self.publish(design, version, &draft.parts, Some(content))
    }

    /// Everything that keeps a design from being published here.
    pub fn faults_of(&self, design: &StudyDesign) -> Vec<Fault> {
        let mut faults = design.faults();
        faults.extend(self.lowered_by(design));
        faults
    }

    /// Published versions of other content under the same name, by content hash: allowed, and worth a warning.
    pub fn namesakes(&self, design: &StudyDesign) -> Vec<CommitHash> {
        let own = design.hash();
        let of_that_name = self.published().filter(|(_, known)| known.version == design.version);
        of_that_name.map(|(hash, _)| *hash).filter(|hash| *hash != own).collect()
    }

    /// The contents of the published designs that were read.
    pub(super) fn published(&self) -> impl Iterator<Item = (&CommitHash, &Arc<StudyDesign>)> {
        let setup = self.setup().into_iter();
        setup.flat_map(|setup| setup.versions.contents.iter().filter(|(hash, _)| setup.designs.contains_key(*hash)))
    }
}

impl Drafts {
    pub(super) fn evolve(&mut self, event: &Event) {
        match event {
            Event::DesignDrafted { design, version, parts } => {
                self.0.insert(version.clone(), Drafted { design: *design, parts: parts.clone() });
            }
            Event::DesignPublished { design, .. } => self.0.retain(|_, draft| draft.design != *design),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;
    use crate::decider::Decider;
    use crate::history::Revision;
    use crate::ids::Environment;
    use crate::rejection::Rejection;
    use crate::testing::{design, given, label};

    fn created() -> Event {
        Event::Created { name: label("Cardio"), environment: Environment::Test }
    }

    fn drafted(design: &StudyDesign) -> Event {
        Event::DesignDrafted { design: design.hash(), version: label(&design.version), parts: vec![design.hash()] }
    }

    fn published(design: &StudyDesign) -> Event {
        Event::DesignPublished { design: design.hash(), version: label(&design.version), parts: vec![design.hash()] }
    }

    fn draft(design: &StudyDesign) -> Command {
        Command::DraftDesign { design: design.hash(), version: label(&design.version), parts: vec![design.hash()] }
    }

    /// A study whose parts were read.
    fn study(events: &[Event], contents: &[&StudyDesign]) -> Study {
        let mut study = Study::default();
        events.iter().for_each(|event| study.evolve(event, Revision(1).into()));
        let text = |hash: &CommitHash| {
            let found = contents.iter().find(|one| one.hash() == *hash).expect("one of them");
            String::from_utf8(found.bytes()).expect("JSON is UTF-8")
        };
        let parts = study.missing_parts().iter().map(text).collect();
        study.supply_parts(parts).expect("the parts that were asked for");
        study
    }

    #[test]
    fn a_draft_takes_the_place_of_the_one_of_its_name() {
        let other = StudyDesign { name: "Other".into(), ..design() };
        given::<Study>([created()]).when(draft(&design())).then([drafted(&design())]);
        given::<Study>([created(), drafted(&design())]).when(draft(&design())).then([]);
        given::<Study>([created(), drafted(&design())]).when(draft(&other)).then([drafted(&other)]);
        given::<Study>([created(), published(&design())]).when(draft(&design())).then([]);
        given::<Study>([]).when(draft(&design())).rejected("no-such-study");
        let publish = |design: &StudyDesign| Command::PublishDraft { design: design.hash() };
        let both = || [created(), drafted(&design()), drafted(&other)];
        given::<Study>(both()).when(publish(&design())).rejected("no-such-draft");
        given::<Study>([created()]).when(publish(&design())).rejected("no-such-draft");
    }

    #[test]
    fn a_draft_is_published_when_nothing_is_wrong_with_it() {
        let read = study(&[created(), drafted(&design())], &[&design()]);
        assert_eq!(read.publish_draft(&design().hash()).expect("it is good"), [published(&design())]);
        let read = study(&[created(), drafted(&design()), published(&design())], &[&design()]);
        assert_eq!(read.publish_draft(&design().hash()).expect("it is so already"), []);
        assert!(read.setup().is_some_and(|setup| setup.versions.drafts.0.is_empty()), "it is a draft no more");
        let faulty = StudyDesign { visits: vec![], ..design() };
        let read = study(&[created(), drafted(&faulty)], &[&faulty]);
        let refused = read.publish_draft(&faulty.hash()).expect_err("it has no visit");
        assert_eq!((refused.code(), refused.faults().len()), ("invalid-design", 1));
    }

    #[test]
    fn a_draft_is_held_against_what_is_published_and_not_against_drafts() {
        let mut strict = StudyDesign { version: "2".into(), ..design() };
        strict.items[0].blinded = true;
        let events = [created(), drafted(&strict), drafted(&design())];
        let read = study(&events, &[&strict, &design()]);
        assert_eq!(read.faults_of(&design()), [], "the other is a draft");
        let read = study(&[created(), published(&strict), drafted(&design())], &[&strict, &design()]);
        assert!(!read.faults_of(&design()).is_empty());
        assert_eq!(read.publish_draft(&design().hash()).expect_err("it protects less").code(), "protection-lowered");
        let namesake = StudyDesign { name: "Other".into(), ..strict.clone() };
        assert_eq!(read.namesakes(&namesake), [strict.hash()]);
        assert_eq!((read.namesakes(&strict), read.namesakes(&design())), (vec![], vec![]));
    }
}
