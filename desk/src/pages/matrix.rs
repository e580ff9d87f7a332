//! The participants: by visits and forms, or as a list for those who see no forms.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use crate::fields::encoded;
use crate::frame::{Frame, Visit, page};
use crate::model::{Design, Line, LineForm, List, Participant};
use crate::trouble::Trouble;

/// How many participants a page shows.
const PAGE: usize = 50;

/// A visit's columns: its name, and its forms as (id, name).
struct Column {
    visit: String,
    name: String,
    forms: Vec<(String, String)>,
}

/// How far a form is: a class for the colour, a sign for whoever sees none, and words.
struct Cell {
    class: &'static str,
    sign: &'static str,
    state: String,
    queries: u64,
    to: String,
}

struct Row {
    line: Line,
    cells: Vec<Cell>,
}

#[derive(Template)]
#[template(path = "matrix.html")]
struct Matrix {
    f: Frame,
    study: String,
    site: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
    next: Option<String>,
}

/// `GET /desk/studies/{study}/matrix`.
pub(crate) async fn show(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(&study));
    let site = visit.asked.text("site").to_owned();
    let path = visit.since(&format!("{base}/matrix?limit={PAGE}{}", only(&visit)));
    let design_path = format!("{base}/design");
    let (page_of, design) =
        tokio::try_join!(visit.api.get::<List<Line>>(&path), visit.api.find::<Design>(&design_path))?;
    let f = visit.frame("matrix").of_study(&study).live();
    let columns = columns(&design.unwrap_or_default());
    let rows = page_of.items.into_iter().map(|line| row(&f, &study, &columns, line)).collect();
    let shown = Matrix { f, study, site, columns, rows, next: page_of.next };
    Ok(page(&shown.f, &shown))
}

/// What the page was narrowed to, for the API.
fn only(visit: &Visit) -> String {
    let part = |name: &str| visit.asked.some(name).map(|text| format!("&{name}={}", encoded(text)));
    ["site", "cursor"].into_iter().filter_map(part).collect()
}

fn columns(design: &Design) -> Vec<Column> {
    let column = |visit: &crate::model::VisitDef| Column {
        visit: visit.oid.clone(),
        name: visit.name.clone(),
        forms: visit.forms.iter().map(|form| (form.oid.clone(), design.form_name(&form.oid).to_owned())).collect(),
    };
    design.visits.iter().map(column).collect()
}

fn row(f: &Frame, study: &str, columns: &[Column], line: Line) -> Row {
    let of = |visit: &str, form: &str| -> Vec<&LineForm> {
        let visits = line.visits.iter().filter(|one| one.visit == visit);
        visits.flat_map(|one| &one.forms).filter(|one| one.form == form).collect()
    };
    let missed = |visit: &str| line.visits.iter().any(|one| one.visit == visit && one.state == "missed");
    let mut cells = Vec::new();
    for column in columns {
        for (form, _) in &column.forms {
            let found = of(&column.visit, form);
            let (class, sign, key) = standing(&found, missed(&column.visit));
            let to = format!(
                "/desk/studies/{}/participants/{}#{}-{}",
                encoded(study),
                line.participant,
                encoded(&column.visit),
                encoded(form)
            );
            let queries = found.iter().map(|form| form.open_queries).sum();
            cells.push(Cell { class, sign, state: f.t(key).to_owned(), queries, to });
        }
    }
    Row { line, cells }
}

/// The least of what stands at a place.
fn standing(found: &[&LineForm], missed: bool) -> (&'static str, &'static str, &'static str) {
    let there: Vec<_> = found.iter().filter(|form| form.state != "removed").collect();
    let all = |what: fn(&LineForm) -> bool| !there.is_empty() && there.iter().all(|form| what(form));
    if all(|form| form.held.as_deref() == Some("locked")) {
        ("locked", "■", "cell.locked")
    } else if all(|form| form.held.is_some()) {
        ("frozen", "▣", "cell.frozen")
    } else if all(|form| form.signatures > 0) {
        ("signed", "✓", "cell.signed")
    } else if all(|form| form.state == "completed") {
        ("complete", "●", "cell.complete")
    } else if !there.is_empty() {
        ("begun", "◐", "cell.begun")
    } else if missed {
        ("missed", "–", "cell.missed")
    } else {
        ("none", "○", "cell.none")
    }
}

#[derive(Template)]
#[template(path = "participants.html")]
struct Participants {
    f: Frame,
    study: String,
    people: Vec<Participant>,
    next: Option<String>,
}

/// `GET /desk/studies/{study}/participants`.
pub(crate) async fn participants(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    let cursor = visit.asked.some("cursor").map(|at| format!("&cursor={}", encoded(at))).unwrap_or_default();
    let path = visit.since(&format!("/v1/studies/{}/participants?limit={PAGE}{cursor}", encoded(&study)));
    let List { items, next } = visit.api.get(&path).await?;
    let shown = Participants { f: visit.frame("participants").of_study(&study).live(), study, people: items, next };
    Ok(page(&shown.f, &shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(state: &str, held: Option<&str>, signatures: u64) -> LineForm {
        LineForm { form: "VS".into(), state: state.into(), held: held.map(Into::into), open_queries: 0, signatures }
    }

    #[test]
    fn a_place_stands_where_the_least_of_its_forms_stands() {
        let (begun, complete) = (form("begun", None, 0), form("completed", None, 0));
        let (signed, locked, removed) =
            (form("completed", None, 1), form("completed", Some("locked"), 1), form("removed", None, 0));
        for (found, missed, class) in [
            (vec![], false, "none"),
            (vec![], true, "missed"),
            (vec![&removed], false, "none"),
            (vec![&begun, &complete], false, "begun"),
            (vec![&complete, &signed], false, "complete"),
            (vec![&signed, &removed], false, "signed"),
            (vec![&locked], false, "locked"),
            (vec![&locked, &signed], false, "signed"),
        ] {
            assert_eq!(standing(&found, missed).0, class);
        }
    }
}
