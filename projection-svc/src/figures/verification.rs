//! How much of what is to be compared with its source was.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use domain::ids::{Oid, SiteId};
use domain::participant::LeftOut;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Wanted, at};
use super::kept::Snapshot;
use super::person::Person;
use super::plan::{Plan, people};
use super::state::Names;

/// Source data verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationCounts {
    /// Values that were entered and are to be compared with their source, as the design says.
    pub required: u64,
    /// Of these: agree with their source.
    pub verified: u64,
    /// Of these: not compared yet, or not as they stand now.
    pub backlog: u64,
    /// Of the backlog: were verified once, and changed since or were not verified after all.
    pub to_verify_again: u64,
    /// Beside them: identifiers that were entered and that the design's plans name. No role that verifies is shown them, so
    /// nobody is asked to.
    pub excluded_identifiers: u64,
}

impl AddAssign for VerificationCounts {
    fn add_assign(&mut self, other: Self) {
        self.required += other.required;
        self.verified += other.verified;
        self.backlog += other.backlog;
        self.to_verify_again += other.to_verify_again;
        self.excluded_identifiers += other.excluded_identifiers;
    }
}

/// Source data verification, by site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Of all sites that the reader sees.
    pub total: VerificationCounts,
    /// Site by site.
    pub sites: Vec<SiteVerification>,
    /// What the plans of the designs in use name and nobody is asked to compare.
    pub left_out: Vec<LeftOutItem>,
}

/// An item that a plan of verification names and that is left out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct LeftOutItem {
    /// The form's OID.
    pub form: Oid,
    /// The item group's OID.
    pub group: Oid,
    /// The item's OID.
    pub item: Oid,
    /// Why.
    pub why: LeftOut,
}

/// Source data verification at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteVerification {
    /// Which site.
    pub site: SiteId,
    /// Its values.
    #[serde(flatten)]
    pub counts: VerificationCounts,
}

/// Source data verification as of the snapshot.
pub fn verification(snapshot: &Snapshot, wanted: &Wanted<'_>) -> Verification {
    let mut sites: BTreeMap<SiteId, VerificationCounts> = BTreeMap::new();
    let mut left_out: BTreeSet<LeftOutItem> = BTreeSet::new();
    for plan in snapshot.plans.values() {
        left_out.extend(plan.left_out().map(|(form, group, item, why)| LeftOutItem {
            form: form.clone(),
            group: group.clone(),
            item: item.clone(),
            why,
        }));
    }
    for (_, person, plan) in people(&snapshot.state, &snapshot.plans, wanted) {
        if let Some(plan) = plan {
            *at(&mut sites, &person.site) += of(person, plan, &snapshot.state.names);
        }
    }
    let mut total = VerificationCounts::default();
    sites.values().for_each(|counts| total += *counts);
    let sites = sites.into_iter().map(|(site, counts)| SiteVerification { site, counts }).collect();
    Verification { total, sites, left_out: left_out.into_iter().collect() }
}

fn of(person: &Person, plan: &Plan, names: &Names) -> VerificationCounts {
    let mut counts = VerificationCounts::default();
    for (form, state) in person.forms.iter().filter(|(_, state)| state.stands()) {
        let form = &names.form_of(*form).form;
        let entered = state.items.iter().filter(|(_, item)| !item.computed);
        let entered: Vec<_> = entered.collect();
        let excluded = entered.iter().filter(|(item, _)| plan.is_left_out_identifier(form, names.item_of(**item)));
        counts.excluded_identifiers += excluded.count() as u64;
        for (_, item) in entered.into_iter().filter(|(item, _)| plan.is_compared(form, names.item_of(**item))) {
            counts.required += 1;
            counts.verified += u64::from(item.verified);
            counts.backlog += u64::from(!item.verified);
            counts.to_verify_again += u64::from(item.again && !item.verified);
        }
    }
    counts
}
