//! What is to be signed, and what is to be signed again because it changed.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use domain::ids::{ParticipantId, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Page, Wanted, Whose, at};
use super::kept::Snapshot;
use super::person::Person;
use super::plan::{Plan, people};
use super::state::Names;

/// Signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureCounts {
    /// Forms that were begun and are to be signed, as the design says: the sum of the next three.
    pub forms: u64,
    /// A signature for them holds.
    pub signed: u64,
    /// Nobody has signed them.
    pub to_sign: u64,
    /// Were signed, and changed since.
    pub to_sign_again: u64,
    /// Signatures of any place, design or not, that a change ended and that nobody has given again.
    pub to_give_again: u64,
}

impl AddAssign for SignatureCounts {
    fn add_assign(&mut self, other: Self) {
        self.forms += other.forms;
        self.signed += other.signed;
        self.to_sign += other.to_sign;
        self.to_sign_again += other.to_sign_again;
        self.to_give_again += other.to_give_again;
    }
}

/// Signatures, by site and by participant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureFigures {
    /// Of all sites that the reader sees.
    pub total: SignatureCounts,
    /// Site by site.
    pub sites: Vec<SiteSignatures>,
    /// Whose record somebody is to sign; null: not for this role.
    pub participants: Option<Vec<PersonSignatures>>,
    /// The `cursor` of the next page; null: this was the last.
    pub next: Option<ParticipantId>,
}

/// Signatures at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteSignatures {
    /// Which site.
    pub site: SiteId,
    /// Its forms.
    #[serde(flatten)]
    pub counts: SignatureCounts,
}

/// Signatures of a participant's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonSignatures {
    /// Whose.
    #[serde(flatten)]
    pub whose: Whose,
    /// Its forms.
    #[serde(flatten)]
    pub counts: SignatureCounts,
}

/// Signatures as of the snapshot.
pub fn signatures(snapshot: &Snapshot, wanted: &Wanted<'_>) -> SignatureFigures {
    let mut sites: BTreeMap<SiteId, SignatureCounts> = BTreeMap::new();
    let mut page = Page::of(wanted);
    let nothing = Plan::default();
    for (id, person, plan) in people(&snapshot.state, &snapshot.plans, wanted) {
        let counts = of(person, plan.unwrap_or(&nothing), &snapshot.state.names);
        *at(&mut sites, &person.site) += counts;
        let asks = counts.to_sign + counts.to_sign_again + counts.to_give_again > 0;
        page.offer(id, || asks.then(|| PersonSignatures { whose: Whose::of(id, person), counts }));
    }
    let mut total = SignatureCounts::default();
    sites.values().for_each(|counts| total += *counts);
    let sites = sites.into_iter().map(|(site, counts)| SiteSignatures { site, counts }).collect();
    let (participants, next) = page.done();
    SignatureFigures { total, sites, participants, next }
}

fn of(person: &Person, plan: &Plan, names: &Names) -> SignatureCounts {
    let mut counts = SignatureCounts { to_give_again: person.to_give_again() as u64, ..SignatureCounts::default() };
    let to_be_signed = |form: &u32| plan.is_signed(&names.form_of(*form).form);
    for (form, _) in person.forms.iter().filter(|(form, state)| state.stands() && to_be_signed(form)) {
        let mut covering = person.signatures.iter().filter(|one| one.forms.contains(form)).peekable();
        let ever = covering.peek().is_some();
        counts.forms += 1;
        *match (covering.any(|one| !one.dropped), ever) {
            (true, _) => &mut counts.signed,
            (false, true) => &mut counts.to_sign_again,
            (false, false) => &mut counts.to_sign,
        } += 1;
    }
    counts
}
