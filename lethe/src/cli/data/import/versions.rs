//! Under which design version each participant's data is entered: the participant's own, otherwise that of the site,
//! otherwise that of the study. Each is asked for once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::design::StudyDesign;
use domain::ids::SiteId;
use serde_json::Value;

use crate::cli::{CliError, Client};

/// The design versions that an import needs.
pub(super) struct Versions {
    study: String,
    /// Address of the version that is live in the study as a whole.
    live: String,
    /// What each site has taken into use for itself.
    sites: BTreeMap<SiteId, Option<String>>,
    read: Mutex<BTreeMap<String, Arc<StudyDesign>>>,
}

impl Versions {
    /// Of a study that is live; `path` is its address, `shown` what it says of itself.
    pub(super) async fn of(client: &Client, path: &str, shown: &Value) -> Result<Self, CliError> {
        // The answer for a study that is not live says so in words.
        let design = parsed(client.get(&format!("{path}/design")).await?.body)?;
        let live = design.hash().to_string();
        let sites = shown["sites"].as_array().into_iter().flatten();
        let site =
            |site: &Value| Some((site["site"].as_str()?.parse().ok()?, site["design"].as_str().map(str::to_owned)));
        let read = Mutex::new([(live.clone(), Arc::new(design))].into());
        Ok(Self { study: path.to_owned(), live, sites: sites.filter_map(site).collect(), read })
    }

    /// The version that is live in the study as a whole.
    pub(super) fn live(&self) -> Option<Arc<StudyDesign>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&self.live).cloned()
    }

    /// Whether the site is open in the study.
    pub(super) fn has(&self, site: &SiteId) -> bool {
        self.sites.contains_key(site)
    }

    /// The only open site, if there is one only.
    pub(super) fn only_site(&self) -> Option<SiteId> {
        if self.sites.len() == 1 { self.sites.keys().next().cloned() } else { None }
    }

    /// The address of the version under which the data of a participant of this site is entered.
    fn address<'a>(&'a self, own: Option<&'a str>, site: &SiteId) -> &'a str {
        own.or_else(|| self.sites.get(site)?.as_deref()).unwrap_or(&self.live)
    }

    /// The version under which the data of a participant of this site is entered; `own` is the address of the
    /// participant's.
    pub(super) async fn design(
        &self,
        client: &Client,
        own: Option<&str>,
        site: &SiteId,
    ) -> Result<Arc<StudyDesign>, CliError> {
        let address = self.address(own, site);
        let lock = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(address).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let design = Arc::new(parsed(client.get(&format!("{}/designs/{address}", self.study)).await?.body)?);
        lock().insert(address.to_owned(), design.clone());
        Ok(design)
    }
}

fn parsed(body: Value) -> Result<StudyDesign, CliError> {
    serde_json::from_value(body).map_err(|error| CliError::failed("a design version", error))
}

#[test]
fn the_participants_own_version_goes_before_the_sites_and_that_before_the_studys() {
    let site = |text: &str| text.parse::<SiteId>().expect("valid");
    let sites = [(site("oslo"), Some("b".to_owned())), (site("bergen"), None)].into();
    let versions = Versions { study: String::new(), live: "a".into(), sites, read: Mutex::default() };
    let cases = [(Some("c"), "oslo", "c"), (None, "oslo", "b"), (None, "bergen", "a"), (Some("c"), "bergen", "c")];
    for (own, at, address) in cases {
        assert_eq!(versions.address(own, &site(at)), address, "{own:?} at {at}");
    }
    assert!(versions.has(&site("oslo")) && !versions.has(&site("paris")));
    assert_eq!(versions.only_site(), None);
}
