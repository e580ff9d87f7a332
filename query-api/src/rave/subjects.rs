//! `GET /RaveWebServices/studies/{study}/subjects`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use edge::{Caller, Parameters, Problem};
use exchange::xml::Xml;
use projection_svc::participants::{self, Participant, ParticipantState};
use projection_svc::studies::Study;
use serde::Deserialize;

use super::{Document, open, study_oid, unwritten, version_oid};
use crate::desk::Queries;

/// How many are read in one step.
const STEP: usize = 500;

pub(super) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/RaveWebServices/studies/{study}/subjects", get(list))
}

/// What Rave's clients ask with. Nobody is deleted or made inactive here, and there are no links to pages.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    status: Option<String>,
    #[serde(rename = "subjectKeyType")]
    key_type: Option<String>,
    #[serde(rename = "include")]
    _include: Option<String>,
    #[serde(rename = "links")]
    _links: Option<String>,
}

/// The participants of the caller's sites, by subject number.
async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Path(oid): Path<String>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let (entered, study) = queries.enter_rave(&caller, "participant.list", &oid).await?;
    let mut document = Document::begin(
        "Snapshot",
        format!("SUBJECTS.{}", study.study),
        &entered.reflected,
        std::slice::from_ref(&study),
    )?;
    let mut after = None;
    loop {
        let page = participants::list(&entered.tenant, &study.study, &caller.sites, after.as_deref(), STEP).await?;
        for participant in page.items {
            subject(&mut document.0, &study, &participant, &wanted)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return document.answer(&entered.reflected),
        }
    }
}

/// Under which design version a participant's data is entered: the participant's own, the site's, the study's.
fn design_of(study: &Study, participant: &Participant) -> usize {
    let site = study.sites.iter().find(|site| site.site == participant.site).and_then(|site| site.design);
    version_oid(study, participant.design.or(site).or(study.live_design).as_ref())
}

fn subject(xml: &mut Xml<Vec<u8>>, study: &Study, participant: &Participant, wanted: &Wanted) -> Result<(), Problem> {
    let version = design_of(study, participant).to_string();
    open(xml.tag("ClinicalData").attr("StudyOID", study_oid(study)).attr("MetaDataVersionOID", version))?;
    let by_uuid = wanted.key_type.as_deref() == Some("SubjectUUID");
    let tag = xml.tag("SubjectData");
    let tag = if by_uuid {
        tag.attr("SubjectKey", participant.participant.to_string())
            .attr("mdsol:SubjectKeyType", "SubjectUUID")
            .attr("mdsol:SubjectName", participant.subject_number.as_str())
    } else {
        tag.attr("SubjectKey", participant.subject_number.as_str())
    };
    let yes_no = |yes: bool| if yes { "Yes" } else { "No" };
    let tag = if wanted.status.is_some() {
        tag.attr("mdsol:Touched", yes_no(participant.forms > 0)).attr("mdsol:Empty", yes_no(participant.forms == 0))
    } else {
        tag
    };
    let active = participant.state != ParticipantState::Withdrawn;
    open(tag.attr("mdsol:SubjectActive", yes_no(active)))?;
    xml.tag("SiteRef").attr("LocationOID", participant.site.as_str()).empty().map_err(unwritten)?;
    xml.end().map_err(unwritten)?;
    xml.end().map_err(unwritten)
}
