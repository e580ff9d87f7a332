//! The study's consent forms: which versions there are, where each is approved, from when a newer one is required.

use std::collections::BTreeMap;

use super::retention::{MONTHS_MAX, months_after};
use super::{Event, Refused, Study};
use crate::Day;
use crate::ids::{ConsentVersion, Label, SiteId};

/// The versions of the consent form, in the order in which they were published.
#[derive(Debug, Clone, Default)]
pub struct Consents {
    versions: Vec<ConsentForm>,
    required: Vec<Requirement>,
}

/// One version of the consent form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentForm {
    /// Its version.
    pub version: ConsentVersion,
    /// For how many months a consent to it holds; none: until it is withdrawn.
    pub months: Option<u32>,
    /// Where it is approved, and where that is written.
    pub approved: BTreeMap<SiteId, Label>,
}

/// From a day on, data needs consent to this version or a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    version: ConsentVersion,
    site: Option<SiteId>,
    from: Day,
}

impl ConsentForm {
    /// The first day on which a consent that was given on `given` holds no more.
    pub fn ends(&self, given: Day) -> Option<Day> {
        self.months.map(|months| months_after(given, months))
    }
}

impl Consents {
    /// Whether the study published none: then any version is taken.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// A version, if it is published.
    pub fn published(&self, version: &ConsentVersion) -> Option<&ConsentForm> {
        self.versions.iter().find(|one| one.version == *version)
    }

    /// The newest version that data of this site and day needs consent to. A version that the site may not use yet binds
    /// nobody there: nobody could give that consent.
    pub fn required(&self, site: &SiteId, day: Day) -> Option<&ConsentVersion> {
        let usable =
            |version: &ConsentVersion| self.published(version).is_some_and(|form| form.approved.contains_key(site));
        let own = |one: &Requirement| one.site.as_ref().is_none_or(|own| own == site);
        let here = |one: &&Requirement| one.from <= day && own(one) && usable(&one.version);
        self.required.iter().filter(here).map(|one| &one.version).max_by_key(|version| self.number(version))
    }

    /// Whether consent to `given` is consent to `required`: it is that version, or was published after it.
    pub fn satisfies(&self, given: &ConsentVersion, required: &ConsentVersion) -> bool {
        self.number(given) >= self.number(required)
    }

    fn number(&self, version: &ConsentVersion) -> Option<usize> {
        self.versions.iter().position(|one| one.version == *version)
    }

    pub(super) fn evolve(&mut self, event: &Event) {
        match event {
            Event::ConsentPublished { version, months } => {
                let (version, months) = (version.clone(), *months);
                self.versions.push(ConsentForm { version, months, approved: BTreeMap::new() });
            }
            Event::ConsentApproved { version, site, reference } => {
                let known = self.versions.iter_mut().find(|one| one.version == *version);
                known.into_iter().for_each(|one| drop(one.approved.insert(site.clone(), reference.clone())));
            }
            Event::ConsentRequired { version, site, from } => {
                self.required.push(Requirement { version: version.clone(), site: site.clone(), from: *from });
            }
            _ => {}
        }
    }
}

impl Study {
    /// The study's consent forms, unless the study is absent.
    pub fn consents(&self) -> Option<&Consents> {
        self.setup().map(|setup| &setup.consents)
    }

    pub(super) fn publish_consent(&self, version: &ConsentVersion, months: Option<u32>) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?.unlocked()?;
        if months.is_some_and(|months| !(1..=MONTHS_MAX).contains(&months)) {
            return Err(Refused::ConsentMonths);
        }
        match setup.consents.published(version) {
            None => Ok(vec![Event::ConsentPublished { version: version.clone(), months }]),
            Some(known) if known.months == months => Ok(vec![]),
            Some(_) => Err(Refused::ConsentPublishedOtherwise),
        }
    }

    pub(super) fn approve_consent(
        &self,
        version: &ConsentVersion,
        site: &SiteId,
        reference: &Label,
    ) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?.unlocked()?;
        if !setup.sites.contains_key(site) {
            return Err(Refused::NoSuchSite);
        }
        let known = setup.consents.published(version).ok_or(Refused::NoSuchConsent)?;
        let (version, site, reference) = (version.clone(), site.clone(), reference.clone());
        match known.approved.get(&site) == Some(&reference) {
            true => Ok(vec![]),
            false => Ok(vec![Event::ConsentApproved { version, site, reference }]),
        }
    }

    pub(super) fn require_consent(
        &self,
        version: &ConsentVersion,
        site: Option<&SiteId>,
        from: Day,
    ) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?.unlocked()?;
        if site.is_some_and(|site| !setup.sites.contains_key(site)) {
            return Err(Refused::NoSuchSite);
        }
        let form = setup.consents.published(version).ok_or(Refused::NoSuchConsent)?;
        if site.is_some_and(|site| !form.approved.contains_key(site)) {
            return Err(Refused::ConsentNotApproved);
        }
        let wanted = Requirement { version: version.clone(), site: site.cloned(), from };
        match setup.consents.required.contains(&wanted) {
            true => Ok(vec![]),
            false => Ok(vec![Event::ConsentRequired { version: wanted.version, site: wanted.site, from }]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Environment;
    use crate::study::Command;
    use crate::testing::{given, label, site};

    fn version(text: &str) -> ConsentVersion {
        text.parse().expect("valid")
    }

    fn day(text: &str) -> Day {
        serde_json::from_value(text.into()).expect("a day")
    }

    fn study() -> [Event; 3] {
        let created = Event::Created { name: label("Cardio"), environment: Environment::Test };
        let opened = Event::SiteOpened { site: site("oslo"), name: label("Oslo") };
        [created, opened, Event::ConsentPublished { version: version("1"), months: Some(12) }]
    }

    #[test]
    fn a_consent_form_is_published_approved_and_required() {
        let publish = |name, months| Command::PublishConsent { version: version(name), months };
        let approve = |name, at: &str| Command::ApproveConsent {
            version: version(name),
            site: site(at),
            reference: label("EC 7"),
        };
        let require = |name, at: Option<&str>| Command::RequireConsent {
            version: version(name),
            site: at.map(site),
            from: day("2026-12-01"),
        };
        let on = |command| given::<Study>(study()).when(command);
        on(publish("2", None)).then([Event::ConsentPublished { version: version("2"), months: None }]);
        on(publish("1", Some(12))).then([]);
        on(publish("1", None)).rejected("consent-published-otherwise");
        on(publish("2", Some(0))).rejected("consent-months");
        on(approve("1", "oslo")).then([Event::ConsentApproved {
            version: version("1"),
            site: site("oslo"),
            reference: label("EC 7"),
        }]);
        on(approve("1", "paris")).rejected("no-such-site");
        on(approve("3", "oslo")).rejected("no-such-consent-version");
        on(require("1", None)).then([Event::ConsentRequired {
            version: version("1"),
            site: None,
            from: day("2026-12-01"),
        }]);
        on(require("1", Some("paris"))).rejected("no-such-site");
        on(require("1", Some("oslo"))).rejected("consent-not-approved");
        on(require("3", None)).rejected("no-such-consent-version");
        given::<Study>([]).when(publish("1", None)).rejected("no-such-study");
    }

    #[test]
    fn the_newest_required_version_of_the_site_counts_from_its_day() {
        let mut consents = Consents::default();
        for name in ["1", "2", "3"] {
            consents.evolve(&Event::ConsentPublished { version: version(name), months: None });
            for at in ["oslo", "bergen"] {
                let (version, site, reference) = (version(name), site(at), label("EC 7"));
                consents.evolve(&Event::ConsentApproved { version, site, reference });
            }
        }
        for (name, at, from) in [("2", None, "2026-06-01"), ("3", Some("oslo"), "2026-09-01")] {
            consents.evolve(&Event::ConsentRequired { version: version(name), site: at.map(site), from: day(from) });
        }
        let required =
            |at: &str, on: &str| consents.required(&site(at), day(on)).map(|version| version.as_str().to_owned());
        assert_eq!(required("oslo", "2026-05-31"), None);
        assert_eq!(required("oslo", "2026-06-01").as_deref(), Some("2"));
        assert_eq!(required("oslo", "2026-09-01").as_deref(), Some("3"));
        assert_eq!(required("bergen", "2026-09-01").as_deref(), Some("2"));
        assert_eq!(required("paris", "2026-09-01"), None, "nobody could give it there");
        assert!(consents.satisfies(&version("3"), &version("2")) && !consents.satisfies(&version("1"), &version("2")));
        assert!(!consents.satisfies(&version("unheard"), &version("1")));
    }
}
