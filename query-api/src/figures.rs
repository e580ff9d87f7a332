//! `GET /v1/studies/{study}/figures/…`: what a dashboard shows, as of now or as of an earlier moment.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::Moment;
use domain::history::Position;
use domain::ids::{ParticipantId, SiteId, StudyId};
use domain::permit::{Principal, may_query};
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::figures::answer::{Names, Wanted};
use projection_svc::figures::completeness::{self, Completeness};
use projection_svc::figures::enrolment::{self, Enrolment};
use projection_svc::figures::lag::EntryLag;
use projection_svc::figures::lock::{self, Readiness};
use projection_svc::figures::queries::{self, QueryFigures};
use projection_svc::figures::signatures::{self, SignatureFigures};
use projection_svc::figures::verification::{self, Verification};
use projection_svc::figures::visits::Visits;
use projection_svc::figures::{self, Snapshot};
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, Time, UtcOffset};
use utoipa::{IntoParams, ToSchema};

use crate::answer::Answer;
use crate::desk::{self, Entered, Queries};

mod counted;

pub(crate) use counted::Counted;

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/v1/studies/{study}/figures/enrolment", get(enrolment))
        .route("/v1/studies/{study}/figures/visits", get(visits))
        .route("/v1/studies/{study}/figures/completeness", get(completeness))
        .route("/v1/studies/{study}/figures/entry-lag", get(entry_lag))
        .route("/v1/studies/{study}/figures/queries", get(queries))
        .route("/v1/studies/{study}/figures/verification", get(verification))
        .route("/v1/studies/{study}/figures/lock-readiness", get(lock_readiness))
        .route("/v1/studies/{study}/figures/signatures", get(signatures))
}

/// Which figures are wanted, and as of when.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Those of this site only.
    #[param(value_type = Option<String>)]
    site: Option<SiteId>,
    /// As of this time (RFC 3339) or the end of this day (UTC), not in the future: what was stored until then, on that day.
    as_of: Option<String>,
    /// As of this `Lethe-Position`, not ahead of the journal: what stands up to it, on the day of the last commit that counts.
    as_of_position: Option<String>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
    /// Where an earlier page of participants ended: its `next`.
    #[param(value_type = Option<uuid::Uuid>)]
    cursor: Option<ParticipantId>,
    /// How many participants to name, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A figure, and as of when it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Figure<T> {
    /// As of when.
    as_of: AsOf,
    /// The figure.
    #[serde(flatten)]
    figure: T,
}

/// As of when a figure is: asked for again with this position, what was recorded is the same for ever.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AsOf {
    /// The last commit that counts.
    position: String,
    /// The time on whose day what is due and how old things are is judged.
    time: Moment,
}

/// A study as of the moment that was asked for, and whose figures are wanted.
pub(crate) struct Desk {
    entered: Entered,
    study: StudyId,
    caller: Principal,
    asked: Asked,
    snapshot: Snapshot,
}

impl Desk {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        // Who may not read casebooks is told counts, and no participant.
        let named = may_query(self.caller.actor.role, "participant.casebook");
        let limit = self.asked.limit.unwrap_or(100);
        let names = named.then_some(Names { after: self.asked.cursor, limit });
        Wanted { sites: &self.caller.sites, site: self.asked.site.as_ref(), names }
    }

    /// Who is shown the same: by what they reach and what they asked for.
    fn reader(&self, figure: &str) -> String {
        let Asked { site, cursor, limit, .. } = &self.asked;
        let named = may_query(self.caller.actor.role, "participant.casebook");
        let (tenant, study, sites) = (&self.caller.tenant, &self.study, &self.caller.sites);
        format!("{tenant}/{study}/{figure} {sites:?} {site:?} {named} {cursor:?} {limit:?}")
    }

    /// Which life of the journal stream the snapshot is of.
    fn incarnation(&self) -> u64 {
        let of_study = self.entered.reflected.iter().find(|position| position.study.as_ref() == Some(&self.study));
        of_study.map_or(1, |position| position.incarnation)
    }

    fn answer<T>(self, figure: T) -> Answer<Figure<T>> {
        let incarnation = self.incarnation();
        let position = Position { study: Some(self.study), incarnation, sequence: self.snapshot.sequence() };
        let as_of = AsOf { position: position.to_string(), time: Moment(self.snapshot.at) };
        Answer { reflected: self.entered.reflected, body: Figure { as_of, figure } }
    }
}

impl Queries {
    async fn figures(&self, caller: Principal, study: StudyId, asked: Asked) -> Result<Desk, Problem> {
        desk::limit(asked.limit)?;
        let (entered, found) =
            self.enter_study(&caller, "study.figures", &study, asked.min_position.as_deref()).await?;
        if let Some(site) = &asked.site {
            desk::reach_site(&found, &caller, site)?;
        }
        let (time, position) = (asked.as_of.as_deref(), asked.as_of_position.as_deref());
        let snapshot = self.snapshot(&entered, &study, time, position).await?;
        Ok(Desk { entered, study, caller, asked, snapshot })
    }

    /// A study as of a time or a position; neither: as of now.
    pub(crate) async fn snapshot(
        &self,
        entered: &Entered,
        study: &StudyId,
        time: Option<&str>,
        position: Option<&str>,
    ) -> Result<Snapshot, Problem> {
        let now = self.now();
        let moment = match (time, position) {
            (None, None) => figures::Moment::Now(now),
            (Some(time), None) => figures::Moment::Time(earlier(time, now)?),
            (None, Some(position)) => {
                let position = desk::reached(&entered.tenant, study, "as_of_position", position).await?;
                figures::Moment::Position(position.sequence)
            }
            (Some(_), Some(_)) => {
                return Err(Problem::bad_request("as-of-twice", "give as_of or as_of_position, not both"));
            }
        };
        Ok(self.figures.snapshot(&entered.tenant, study, moment).await?)
    }
}

/// A time, or the end of a day in UTC; of today, now.
fn earlier(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, Problem> {
    let day = Date::parse(text, &time::macros::format_description!("[year]-[month]-[day]")).ok();
    let wrong = |_| {
        let detail = "as_of takes a time such as 2026-11-22T12:00:00Z, or a day such as 2026-11-22: its end in UTC";
        Problem::bad_request("invalid-time", detail)
    };
    let time = match day {
        Some(day) if day == now.to_offset(UtcOffset::UTC).date() => now,
        Some(day) => day.with_time(Time::MAX).assume_utc(),
        None => OffsetDateTime::parse(text, &Rfc3339).map_err(wrong)?,
    };
    if time > now {
        return Err(Problem::bad_request("as-of-future", "as_of is in the future: nothing is recorded there yet"));
    }
    Ok(time)
}

/// How many were screened, consented, failed, enrolled, randomised, completed and withdrew: in all, by site and week of
/// capture, against the targets.
#[utoipa::path(get, operation_id = "show_enrolment",
    path = "/v1/studies/{study}/figures/enrolment", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<Enrolment>)))]
pub(crate) async fn enrolment(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<Enrolment>>, Problem> {
    let mut desk = queries.figures(caller, study, asked).await?;
    let figure = queries.counted.figure("enrolment", &mut desk, enrolment::enrolment).await;
    Ok(desk.answer(figure))
}

/// Which visits are due, overdue and out of their window, by site and participant.
#[utoipa::path(get, operation_id = "show_visits",
    path = "/v1/studies/{study}/figures/visits", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<Visits>)))]
pub(crate) async fn visits(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<Visits>>, Problem> {
    let desk = queries.figures(caller, study, asked).await?;
    let figure = desk.snapshot.visits(&desk.entered.tenant, &desk.study, &desk.wanted()).await?;
    Ok(desk.answer(figure))
}

/// How many forms are expected, not started, in progress, complete and not applicable, and how many required values are
/// missing, by site.
#[utoipa::path(get, operation_id = "show_completeness",
    path = "/v1/studies/{study}/figures/completeness", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<Completeness>)))]
pub(crate) async fn completeness(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<Completeness>>, Problem> {
    let mut desk = queries.figures(caller, study, asked).await?;
    let figure = queries.counted.figure("completeness", &mut desk, completeness::completeness).await;
    Ok(desk.answer(figure))
}

/// The median of the days from the day of a visit to the day on which its first value was stored, by site. What was captured on
/// paper or offline counts from the visit to its entry here, whenever it was captured.
#[utoipa::path(get, operation_id = "show_entry_lag",
    path = "/v1/studies/{study}/figures/entry-lag", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<EntryLag>)))]
pub(crate) async fn entry_lag(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<EntryLag>>, Problem> {
    let desk = queries.figures(caller, study, asked).await?;
    let figure = desk.snapshot.entry_lag(&desk.entered.tenant, &desk.study, &desk.wanted()).await?;
    Ok(desk.answer(figure))
}

/// Queries by state and age, response times, queries for a hundred values, the checks that fire most, by site.
#[utoipa::path(get, operation_id = "show_query_figures",
    path = "/v1/studies/{study}/figures/queries", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<QueryFigures>)))]
pub(crate) async fn queries(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<QueryFigures>>, Problem> {
    let mut desk = queries.figures(caller, study, asked).await?;
    let figure = queries.counted.figure("queries", &mut desk, queries::queries).await;
    Ok(desk.answer(figure))
}

/// Values to be compared with their source, and how many were, by site.
#[utoipa::path(get, operation_id = "show_verification",
    path = "/v1/studies/{study}/figures/verification", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<Verification>)))]
pub(crate) async fn verification(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<Verification>>, Problem> {
    let mut desk = queries.figures(caller, study, asked).await?;
    let figure = queries.counted.figure("verification", &mut desk, verification::verification).await;
    Ok(desk.answer(figure))
}

/// How many records are ready for the lock of the database, and what hinders in whose. What stands under a condition of
/// the design is not counted as missing here: the lock itself looks at values.
#[utoipa::path(get, operation_id = "show_lock_readiness_figures",
    path = "/v1/studies/{study}/figures/lock-readiness", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<Readiness>)))]
pub(crate) async fn lock_readiness(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<Readiness>>, Problem> {
    let mut desk = queries.figures(caller, study, asked).await?;
    let figure = queries.counted.figure("lock-readiness", &mut desk, lock::readiness).await;
    Ok(desk.answer(figure))
}

/// Forms to sign, and to sign again, by site and participant.
#[utoipa::path(get, operation_id = "show_signature_figures",
    path = "/v1/studies/{study}/figures/signatures", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Figure<SignatureFigures>)))]
pub(crate) async fn signatures(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Figure<SignatureFigures>>, Problem> {
    let mut desk = queries.figures(caller, study, asked).await?;
    let figure = queries.counted.figure("signatures", &mut desk, signatures::signatures).await;
    Ok(desk.answer(figure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_day_is_its_end_and_today_is_now() {
        let now = datetime!(2026-11-22 12:00 UTC);
        for (text, at) in [
            ("2026-11-21", datetime!(2026-11-21 23:59:59.999999999 UTC)),
            ("2026-11-22", now),
            ("2026-11-22T13:00:00+01:00", now),
            ("2026-11-20T08:00:00Z", datetime!(2026-11-20 08:00 UTC)),
        ] {
            assert_eq!(earlier(text, now).expect("a moment"), at, "{text}");
        }
        for wrong in ["2026-11-23", "2026-11-22T12:00:01Z", "22.11.2026", "2026-11"] {
            assert!(earlier(wrong, now).is_err(), "{wrong}");
        }
    }
}
