//! The versions of a study's design, and what differs between two of them; its sites.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use crate::fields::encoded;
use crate::frame::{Frame, Visit, page};
use crate::model::figures::{Enrolment, SiteEnrolment};
use crate::model::{Difference, FieldDiffers, Study};
use crate::trouble::Trouble;

#[derive(Template)]
#[template(path = "designs.html")]
struct Designs {
    f: Frame,
    study: Study,
    /// The two versions that are compared.
    from: String,
    to: String,
    difference: Option<Difference>,
}

/// `GET /desk/studies/{study}/designs`: with `from` and `to`, what differs between these two.
pub(crate) async fn show(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(&study));
    let study: Study = visit.api.get(&base).await?;
    let (mut from, mut to) = (visit.asked.text("from").to_owned(), visit.asked.text("to").to_owned());
    let difference = if from.is_empty() || to.is_empty() {
        // What people ask first is what the newest version changed.
        if let [.., before, last] = &study.designs[..] {
            (from, to) = (before.design.clone(), last.design.clone());
        }
        None
    } else {
        let path = format!("{base}/designs/{}/difference/{}", encoded(&from), encoded(&to));
        Some(visit.api.get(&path).await?)
    };
    let shown = Designs { f: visit.frame("designs").of_study(&study.study), study, from, to, difference };
    Ok(page(&shown.f, &shown))
}

#[derive(Template)]
#[template(path = "sites.html")]
struct Sites {
    f: Frame,
    study: Study,
    counts: Vec<SiteEnrolment>,
}

impl Sites {
    fn of(&self, site: &str) -> Option<&SiteEnrolment> {
        self.counts.iter().find(|counts| counts.site == site)
    }
}

/// `GET /desk/studies/{study}/sites`.
pub(crate) async fn sites(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(&study));
    let enrolment = format!("{base}/figures/enrolment");
    let (study, enrolment) = tokio::try_join!(visit.api.get::<Study>(&base), visit.api.find::<Enrolment>(&enrolment))?;
    let counts = enrolment.map(|enrolment| enrolment.sites).unwrap_or_default();
    let shown = Sites { f: visit.frame("sites").of_study(&study.study).live(), study, counts };
    Ok(page(&shown.f, &shown))
}
