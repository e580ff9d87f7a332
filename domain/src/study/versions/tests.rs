use std::sync::Arc;

use super::super::{Command, Event, Study};
use crate::decider::Decider;
use crate::design::StudyDesign;
use crate::history::{CommitHash, Revision};
use crate::ids::Environment;
use crate::permit::{Role, Sites};
use crate::rejection::Rejection;
use crate::scope::Scope;
use crate::testing::{design, given, label, principal, site};

fn second() -> StudyDesign {
    StudyDesign { version: "2".into(), ..design() }
}

fn published(design: &StudyDesign) -> Event {
    Event::DesignPublished { design: design.hash(), version: label(&design.version), parts: vec![design.hash()] }
}

fn live() -> Vec<Event> {
    vec![
        Event::Created { name: label("Cardio"), environment: Environment::Test },
        published(&design()),
        published(&second()),
        Event::SiteOpened { site: site("oslo"), name: label("Oslo") },
        Event::SiteOpened { site: site("bergen"), name: label("Bergen") },
        Event::WentLive { design: design().hash() },
    ]
}

fn and(mut events: Vec<Event>, more: impl IntoIterator<Item = Event>) -> Vec<Event> {
    events.extend(more);
    events
}

fn approve(design: &StudyDesign, at: &str) -> Command {
    Command::ApproveDesign { design: design.hash(), site: site(at), reference: label("REK 2026/17") }
}

fn approved(design: &StudyDesign, at: &str) -> Event {
    Event::DesignApproved { design: design.hash(), site: site(at), reference: label("REK 2026/17") }
}

fn activate(design: &StudyDesign, at: &str) -> Command {
    Command::ActivateDesign { design: design.hash(), site: site(at) }
}

fn activated(design: &StudyDesign, at: &str) -> Event {
    Event::DesignActivated { design: design.hash(), site: site(at) }
}

fn study(events: Vec<Event>) -> Study {
    let mut study = Study::default();
    events.iter().for_each(|event| study.evolve(event, Revision(1).into()));
    study
}

#[test]
fn a_site_takes_a_version_of_its_own_into_use() {
    given::<Study>(live()).when(activate(&second(), "oslo")).then([activated(&second(), "oslo")]);
    let study = study(and(live(), [activated(&second(), "oslo")]));
    assert_eq!(study.design_at(&site("oslo")), Some(second().hash()));
    assert_eq!(study.design_at(&site("bergen")), Some(design().hash()), "the others keep the study's");
    assert_eq!(study.design_at(&site("paris")), None, "a site that is not open has none");
}

#[test]
fn where_approvals_are_demanded_no_version_is_active_before_its_own() {
    let demanded = || and(live(), [Event::ApprovalsDemanded {}]);
    let approved = || and(demanded(), [approved(&second(), "oslo")]);
    given::<Study>(live()).when(Command::DemandApprovals {}).then([Event::ApprovalsDemanded {}]);
    given::<Study>(demanded()).when(activate(&second(), "oslo")).rejected("design-not-approved");
    given::<Study>(approved()).when(activate(&second(), "bergen")).rejected("design-not-approved");
    given::<Study>(approved()).when(activate(&design(), "oslo")).rejected("design-not-approved");
    given::<Study>(approved()).when(activate(&second(), "oslo")).then([activated(&second(), "oslo")]);
    assert_eq!(study(demanded()).design_at(&site("oslo")), None, "not even the study's own");
    assert_eq!(study(approved()).design_at(&site("oslo")), None, "approved is not active");
    let in_use = study(and(approved(), [activated(&second(), "oslo")]));
    assert_eq!(in_use.design_at(&site("oslo")), Some(second().hash()));
}

#[test]
fn an_approval_names_a_published_version_and_an_open_site_of_the_credential() {
    given::<Study>(live()).when(approve(&second(), "oslo")).then([approved(&second(), "oslo")]);
    given::<Study>(live()).when(approve(&second(), "paris")).rejected("no-such-site");
    let unheard = StudyDesign { version: "3".into(), ..design() };
    given::<Study>(live()).when(approve(&unheard, "oslo")).rejected("no-such-design");
    given::<Study>(live()).when(activate(&unheard, "oslo")).rejected("no-such-design");
    let mut elsewhere = principal(Role::DataManager, 1);
    elsewhere.sites = Sites::Only([site("bergen")].into());
    given::<Study>(live()).by(elsewhere).when(approve(&second(), "oslo")).rejected("no-such-site");
    given::<Study>([]).when(approve(&second(), "oslo")).rejected("no-such-study");
    let configured: Vec<_> = live().into_iter().take(5).collect();
    given::<Study>(configured).when(activate(&second(), "oslo")).rejected("study-not-live");
}

#[test]
fn every_published_design_is_read_and_kept() {
    let mut study = study(live());
    let asked = study.missing_parts();
    assert_eq!(asked.len(), 2);
    let text = |hash: &CommitHash| {
        let found = [design(), second()].into_iter().find(|one| one.hash() == *hash).expect("one of the two");
        String::from_utf8(found.bytes()).expect("JSON is UTF-8")
    };
    study.supply_parts(asked.iter().map(text).collect()).expect("the parts that were asked for");
    assert_eq!(study.missing_parts(), []);
    assert_eq!(study.content(&second().hash()).map(|content| content.version.as_str()), Some("2"));
    assert_eq!(study.content(&design().hash()).map(|content| content.version.as_str()), Some("1"));
    let mut other = self::study(live());
    assert!(other.supply_parts(vec!["{}".into(), "{}".into()]).is_err(), "another content under an address");
}

#[test]
fn a_version_that_protects_an_item_less_is_not_published() {
    let mut before = design();
    before.items[0].scope = Some(Scope::IdentityContact);
    before.items[0].identifier = true;
    let mut state = study(vec![live().swap_remove(0), published(&before)]);
    let parts = vec![String::from_utf8(before.bytes()).expect("JSON is UTF-8")];
    state.supply_parts(parts).expect("the part that was asked for");
    let publish = |content: StudyDesign| state.publish(&content.hash(), &label("2"), &[], Some(&Arc::new(content)));
    let refused = publish(design()).expect_err("it protects less");
    assert_eq!(refused.code(), "protection-lowered");
    let pointers: Vec<_> = refused.faults().into_iter().map(|fault| fault.pointer).collect();
    assert_eq!(pointers, ["/items/0/scope", "/items/0/identifier"]);
    assert_eq!(publish(StudyDesign { version: "2".into(), ..before.clone() }).expect("it protects as well").len(), 1);
}

#[test]
fn a_design_is_published_under_the_hash_of_its_content() {
    let created = || [live().swap_remove(0)];
    let publish = |content: Option<StudyDesign>| Command::PublishDesign {
        design: design().hash(),
        version: label("1"),
        parts: vec![design().hash()],
        content: content.map(Arc::new),
    };
    given::<Study>(created()).when(publish(Some(design()))).then([published(&design())]);
    given::<Study>(created()).when(publish(Some(second()))).rejected("other-content");
    given::<Study>(created()).when(publish(None)).rejected("other-content");
}
