//! Which design version is in force where.
//!
//! The study as a whole goes live under one version. A site takes another one into use when it is ready for it; where
//! the study demands approvals, not before the approval of that version is recorded for that site (ICH E6(R3) 4.3.5).
//! Demanding approvals cannot be taken back: otherwise it would say nothing about what was done in between.
//!
//! A participant keeps the version under which it was registered until it is migrated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Drafts, Event, Refused, Setup, Study};
use crate::decider::Context;
use crate::design::{StudyDesign, content_hash};
use crate::field::Malformed;
use crate::history::CommitHash;
use crate::ids::{Label, SiteId};
use crate::participant::Record;
use crate::rejection::Fault;

/// The design versions of a study beside their publication.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    /// No version is active at a site before that site's approval of it is recorded.
    pub approvals_demanded: bool,
    /// What each site has approved, and where that is found.
    pub approved: BTreeMap<SiteId, BTreeMap<CommitHash, Label>>,
    /// What a site has taken into use for itself.
    pub active: BTreeMap<SiteId, CommitHash>,
    /// Drafts, in force nowhere.
    pub drafts: Drafts,
    /// Published designs and drafts whose parts were read.
    pub contents: BTreeMap<CommitHash, Arc<StudyDesign>>,
}

impl Versions {
    fn approved_at(&self, site: &SiteId, design: &CommitHash) -> bool {
        !self.approvals_demanded || self.approved.get(site).is_some_and(|approved| approved.contains_key(design))
    }
}

impl Study {
    /// The content of a published design or a draft, if its parts were read. Whether it may be used says
    /// [`Self::may_use`].
    pub fn content(&self, design: &CommitHash) -> Option<&Arc<StudyDesign>> {
        self.setup()?.versions.contents.get(design)
    }

    /// The version in force at a site: its own, otherwise that of the study if the site may use it.
    pub fn design_at(&self, site: &SiteId) -> Option<CommitHash> {
        let Self::Live { setup, design } = self else { return None };
        let versions = &setup.versions;
        let active = versions.active.get(site).unwrap_or(design);
        (setup.sites.contains_key(site) && versions.approved_at(site, active)).then_some(*active)
    }

    /// Whether data may be entered under a version at a site: it is in force there, or the site has approved it.
    pub fn may_use(&self, site: &SiteId, design: &CommitHash) -> bool {
        let versions = self.setup().map(|setup| &setup.versions);
        let approved = versions.and_then(|versions| versions.approved.get(site));
        self.design_at(site) == Some(*design) || approved.is_some_and(|approved| approved.contains_key(design))
    }

    /// The address of a participant's version: its own, otherwise (it was registered before versions were recorded) the
    /// one of its site.
    pub fn version_of(&self, record: &Record) -> Option<CommitHash> {
        record.design.or_else(|| self.design_at(&record.site))
    }

    /// The design under which a participant's data is entered.
    pub fn design_of(&self, record: &Record) -> Option<&Arc<StudyDesign>> {
        self.content(&self.version_of(record)?)
    }

    pub(super) fn publish(
        &self,
        design: &CommitHash,
        version: &Label,
        parts: &[CommitHash],
        content: Option<&Arc<StudyDesign>>,
    ) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
        if setup.designs.contains_key(design) {
            return Ok(vec![]);
        }
        let content = content.filter(|content| content.hash() == *design).ok_or(Refused::OtherContent)?;
        let lowered = self.lowered_by(content);
        if !lowered.is_empty() {
            return Err(Refused::Lowered(lowered));
        }
        Ok(vec![Event::DesignPublished { design: *design, version: version.clone(), parts: parts.to_vec() }])
    }

    /// What a design protects less than a published one.
    pub(super) fn lowered_by(&self, design: &StudyDesign) -> Vec<Fault> {
        once_each(self.published().flat_map(|(_, before)| design.lowered_from(before)).collect())
    }

    pub(super) fn demand_approvals(&self) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
        Ok(if setup.versions.approvals_demanded { vec![] } else { vec![Event::ApprovalsDemanded {}] })
    }

    pub(super) fn approve(
        &self,
        (design, site): (&CommitHash, &SiteId),
        reference: &Label,
        context: &Context<'_, ()>,
    ) -> Result<Vec<Event>, Refused> {
        let setup = self.at_site(design, site, context)?;
        match setup.versions.approved.get(site).and_then(|approved| approved.get(design)) {
            Some(before) if before == reference => Ok(vec![]),
            _ => Ok(vec![Event::DesignApproved { design: *design, site: site.clone(), reference: reference.clone() }]),
        }
    }

    pub(super) fn activate(
        &self,
        (design, site): (&CommitHash, &SiteId),
        context: &Context<'_, ()>,
    ) -> Result<Vec<Event>, Refused> {
        let setup = self.at_site(design, site, context)?;
        if !matches!(self, Self::Live { .. }) {
            return Err(Refused::NotLiveYet);
        }
        if !setup.versions.approved_at(site, design) {
            return Err(Refused::NotApproved);
        }
        match setup.versions.active.get(site) {
            Some(before) if before == design => Ok(vec![]),
            _ => Ok(vec![Event::DesignActivated { design: *design, site: site.clone() }]),
        }
    }

    /// What is set up, if the design is published and the site open and one of the credential.
    fn at_site(&self, design: &CommitHash, site: &SiteId, context: &Context<'_, ()>) -> Result<&Setup, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
        if !setup.designs.contains_key(design) {
            return Err(Refused::NoSuchDesign);
        }
        if !setup.sites.contains_key(site) || !context.principal.sites.contains(site) {
            return Err(Refused::NoSuchSite);
        }
        Ok(setup)
    }

    pub(super) fn parts_to_read(&self) -> Vec<CommitHash> {
        self.unread().flat_map(|(_, parts)| parts.iter().copied()).collect()
    }

    pub(super) fn read_parts(&mut self, parts: Vec<String>) -> Result<(), Malformed> {
        let unread: Vec<_> = self.unread().map(|(design, parts)| (*design, parts.len())).collect();
        let mut rest = parts.into_iter();
        let mut read = Vec::new();
        for (design, count) in unread {
            let text: String = rest.by_ref().take(count).collect();
            if content_hash(text.as_bytes()) != design {
                return Err(Malformed::at("design parts: the content hash differs"));
            }
            let content: StudyDesign = serde_json::from_str(&text).map_err(|_| Malformed::at("design parts"))?;
            read.push((design, Arc::new(content)));
        }
        if let Some(setup) = self.setup_mut() {
            setup.versions.contents.extend(read);
        }
        Ok(())
    }

    /// Published designs that were not read yet. All are read, not only those in force: participants stay with old ones,
    /// and a new one is compared with each.
    fn unread(&self) -> impl Iterator<Item = (&CommitHash, &Vec<CommitHash>)> {
        let setup = self.setup().into_iter();
        setup.flat_map(|setup| {
            let drafts = setup.versions.drafts.0.values().map(|draft| (&draft.design, &draft.parts));
            let drafts = drafts.filter(|(design, _)| !setup.designs.contains_key(*design));
            let all = setup.designs.iter().chain(drafts);
            all.filter(|(design, _)| !setup.versions.contents.contains_key(design))
        })
    }
}

fn once_each(mut faults: Vec<Fault>) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    faults.retain(|fault| seen.insert((fault.pointer.clone(), fault.detail.clone())));
    faults
}

impl Versions {
    pub(super) fn evolve(&mut self, event: &Event) {
        match event {
            Event::ApprovalsDemanded {} => self.approvals_demanded = true,
            Event::DesignApproved { design, site, reference } => {
                self.approved.entry(site.clone()).or_default().insert(*design, reference.clone());
            }
            Event::DesignActivated { design, site } => drop(self.active.insert(site.clone(), *design)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
