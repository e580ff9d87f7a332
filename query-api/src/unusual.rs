//! `GET /v1/studies/{study}/audit/unusual`: what the rules name in a stretch of the audit trail, to be reviewed.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::StudyId;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::audit::{self, Lines, Looked};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::Answer;
use crate::desk::Queries;
use crate::trail::through;

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/audit/unusual", get(show))
}

/// Which stretch, and where the rules draw their lines.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Behind this sequence of the study's journal stream: what an earlier answer gave as `through`.
    after: Option<u64>,
    /// A value is late if it is entered more than so many days after its visit; 7 unless said.
    late_days: Option<u16>,
    /// A value is changed often if it is changed so many times; 3 unless said.
    #[param(minimum = 1)]
    often: Option<u16>,
    /// Hours of the day (UTC) before this one are odd; 5 unless said.
    #[param(maximum = 24)]
    day_begins: Option<u8>,
    /// Hours of the day (UTC) from this one on are odd; 22 unless said.
    #[param(maximum = 24)]
    day_ends: Option<u8>,
    /// A person changes much with so many changes, if they are more than half of all; 20 unless said.
    much: Option<u16>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

impl Asked {
    fn lines(&self) -> Result<Lines, Problem> {
        let usual = Lines::default();
        let lines = Lines {
            late_days: self.late_days.unwrap_or(usual.late_days),
            often: self.often.unwrap_or(usual.often),
            day_begins: self.day_begins.unwrap_or(usual.day_begins),
            day_ends: self.day_ends.unwrap_or(usual.day_ends),
            much: self.much.unwrap_or(usual.much),
        };
        if lines.often == 0 || lines.day_begins > 24 || lines.day_ends > 24 {
            let detail = "often takes 1 or more, day_begins and day_ends take hours from 0 to 24";
            return Err(Problem::bad_request("invalid-lines", detail));
        }
        Ok(lines)
    }
}

/// What is unusual in a stretch of a study's audit trail (EMA guideline on computerised systems, 6.2.2), each with the rule that
/// names it: entered late, changed often, changed after it was signed, verified or complete, at odd hours, most of it by one
/// person. `POST …/audit/reviews` records that somebody looked through the stretch.
#[utoipa::path(get, operation_id = "list_unusual_entries",
    path = "/v1/studies/{study}/audit/unusual", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Looked)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Looked>, Problem> {
    let lines = asked.lines()?;
    let asked_from = asked.min_position.as_deref();
    let (entered, _) = queries.enter_study(&caller, "study.audit-review", &study, asked_from).await?;
    let (after, through) = (asked.after.unwrap_or_default(), through(&entered));
    let body = audit::unusual(&entered.tenant, &study, &caller.sites, lines, after, through).await?;
    Ok(Answer { reflected: entered.reflected, body })
}
