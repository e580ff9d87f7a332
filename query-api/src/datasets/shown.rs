//! What the API says of itself, of studies and of datasets, with the names that CDISC gave them.

use domain::Moment;
use projection_svc::studies::Study;
use serde::Serialize;
use utoipa::ToSchema;

use super::BASE;

/// About the API.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DatasetJsonAbout)]
pub(crate) struct About {
    /// Since when it is as it is.
    last_updated: &'static str,
    /// Who wrote the standard.
    author: &'static str,
    /// Where the standard stands.
    repo: &'static str,
    /// Where to begin.
    links: Vec<Link>,
}

/// An address.
#[derive(Serialize, ToSchema)]
#[schema(as = DatasetJsonLink)]
pub(crate) struct Link {
    /// Of what.
    name: &'static str,
    /// The address.
    href: String,
}

impl About {
    pub(super) fn this() -> Self {
        Self {
            last_updated: "2026-11-22T00:00:00Z",
            author: "https://www.cdisc.org/",
            repo: "https://github.com/cdisc-org/DataExchange-DatasetJson-API",
            links: vec![Link { name: "studies", href: format!("{BASE}/studies") }],
        }
    }
}

/// A study.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DatasetJsonStudy)]
pub(crate) struct StudyEntry {
    /// Its id.
    #[serde(rename = "studyOID")]
    #[schema(rename = "studyOID")]
    study_oid: String,
    /// The same.
    name: String,
    /// Its name, for people.
    label: String,
    /// What its datasets follow.
    standards: [&'static str; 1],
    /// Its address.
    href: String,
    /// When it was created.
    #[schema(value_type = String)]
    study_creation_date_time: Moment,
    /// Its datasets, where one study is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    datasets: Option<Vec<DatasetEntry>>,
}

impl StudyEntry {
    pub(super) fn of(study: &Study, datasets: Option<Vec<DatasetEntry>>) -> Self {
        Self {
            study_oid: study.study.to_string(),
            name: study.study.to_string(),
            label: study.name.to_string(),
            standards: ["other"],
            href: format!("{BASE}/studies/{}", study.study),
            study_creation_date_time: study.created.stored_at,
            datasets,
        }
    }
}

/// A dataset.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DatasetJsonDataset)]
pub(crate) struct DatasetEntry {
    /// OID of the item group that it holds.
    #[serde(rename = "itemGroupOID")]
    #[schema(rename = "itemGroupOID")]
    pub(super) item_group_oid: String,
    /// The same.
    pub(super) name: String,
    /// Its label.
    pub(super) label: String,
    /// What it follows.
    pub(super) standard: &'static str,
    /// How many records it has.
    pub(super) records: u64,
    /// Its address.
    pub(super) href: String,
    /// When something in the study last changed.
    #[serde(rename = "datasetJSONCreationDateTime")]
    #[schema(rename = "datasetJSONCreationDateTime", value_type = String)]
    pub(super) created: Moment,
}
