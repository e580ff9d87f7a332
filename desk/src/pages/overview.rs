//! The studies, and how one is doing: pictures with tables behind them.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

use crate::chart::{self, Bar};
use crate::fields::encoded;
use crate::frame::{Frame, Visit, page};
use crate::model::figures::{BySite, Enrolment, Forms, Funnel, Queries, Readiness, Signatures, Verification, Visits};
use crate::model::{Overview, Study};
use crate::trouble::Trouble;

#[derive(Template)]
#[template(path = "studies.html")]
struct Studies {
    f: Frame,
    studies: Vec<Study>,
}

/// `GET /desk`.
pub(crate) async fn studies(visit: Visit) -> Result<Response, Trouble> {
    let f = visit.frame("studies");
    // Who runs the platform has no study to look at.
    if !f.asks("study.list") && f.operates() {
        return Ok(Redirect::to("/desk/operations").into_response());
    }
    let studies = visit.api.get("/v1/studies").await?;
    let shown = Studies { f, studies };
    Ok(page(&shown.f, &shown))
}

/// A number that matters, at the top.
struct Key {
    label: &'static str,
    value: String,
    of: String,
    to: Option<String>,
}

/// A picture, and the table that says the same.
struct Panel {
    title: &'static str,
    picture: String,
    legend: Vec<(&'static str, &'static str)>,
    head: Vec<&'static str>,
    /// Columns with names of their own, after those.
    sites: Vec<String>,
    rows: Vec<(String, Vec<u64>)>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Shown {
    f: Frame,
    study: Study,
    keys: Vec<Key>,
    panels: Vec<Panel>,
    as_of: String,
}

/// `GET /desk/studies/{study}`.
pub(crate) async fn study(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(&study));
    let study: Study = visit.api.get(&base).await?;
    let f = visit.frame("overview").of_study(&study.study).live();
    let shown = if f.asks("study.figures") {
        figures(&visit, f, study, &base).await?
    } else {
        counts(&visit, f, study, &base).await?
    };
    Ok(page(&shown.f, &shown))
}

/// For those who see counts alone.
async fn counts(visit: &Visit, f: Frame, study: Study, base: &str) -> Result<Shown, Trouble> {
    let overview: Overview = visit.api.get(&format!("{base}/overview")).await?;
    let all = &overview.total;
    let key = |label, count: u64| Key { label, value: f.n(&count), of: String::new(), to: None };
    let keys = vec![
        key("funnel.registered", all.registered),
        key("funnel.consented", all.consented),
        key("funnel.withdrawn", all.withdrawn),
        key("overview.erased", all.erased),
    ];
    let of = |site: &crate::model::SiteCounts| {
        let counts = &site.total;
        (site_name(&study, &site.site), vec![counts.registered, counts.consented, counts.withdrawn, counts.erased])
    };
    let rows: Vec<_> = overview.sites.iter().map(of).collect();
    let bar = |(site, counts): &(String, Vec<u64>)| Bar { label: site.clone(), parts: vec![("good", counts[0])] };
    let panel = Panel {
        title: "overview.by-site",
        picture: chart::bars(&rows.iter().map(bar).collect::<Vec<_>>()),
        legend: Vec::new(),
        head: vec!["table.site", "funnel.registered", "funnel.consented", "funnel.withdrawn", "overview.erased"],
        sites: Vec::new(),
        rows,
    };
    Ok(Shown { f, study, keys, panels: vec![panel], as_of: String::new() })
}

async fn figures(visit: &Visit, f: Frame, study: Study, base: &str) -> Result<Shown, Trouble> {
    let path = |figure: &str| format!("{base}/figures/{figure}");
    let figures = ["enrolment", "completeness", "queries", "verification", "lock-readiness", "visits", "signatures"];
    let paths = figures.map(path);
    let (enrolment, forms, queries, verified, ready, visits, signatures) = tokio::try_join!(
        visit.api.beside::<Enrolment>(&paths[0]),
        visit.api.beside::<BySite<Forms>>(&paths[1]),
        visit.api.beside::<BySite<Queries>>(&paths[2]),
        visit.api.beside::<BySite<Verification>>(&paths[3]),
        visit.api.beside::<BySite<Readiness>>(&paths[4]),
        visit.api.beside::<BySite<Visits>>(&paths[5]),
        visit.api.beside::<BySite<Signatures>>(&paths[6]),
    )?;
    let keys = keys(&f, &study, (&enrolment, &forms, &queries, &verified, &ready));
    let panels = vec![
        growing(&study, &enrolment),
        funnel(&f, &enrolment.total),
        by_site(&study, &enrolment),
        completeness(&study, &forms),
        listed(&f, "overview.visits", "overview.standing", &visits_of(&visits.total)),
        ageing(&f, &queries.total),
        verification(&study, &verified),
        listed(&f, "overview.signatures", "table.forms", &signatures_of(&signatures.total)),
        blockers(&f, &ready.total),
    ];
    Ok(Shown { f, study, keys, panels, as_of: enrolment.as_of.time })
}

type Figures<'a> =
    (&'a Enrolment, &'a BySite<Forms>, &'a BySite<Queries>, &'a BySite<Verification>, &'a BySite<Readiness>);

fn keys(f: &Frame, study: &Study, (enrolment, forms, queries, verified, ready): Figures<'_>) -> Vec<Key> {
    let to = |query: &str, page: &str| f.asks(query).then(|| format!("/desk/studies/{}/{page}", study.study));
    let of = |whole: u64| if whole > 0 { f.n(&whole) } else { String::new() };
    vec![
        Key {
            label: "overview.enrolled",
            value: f.n(&enrolment.total.enrolled),
            of: of(enrolment.target),
            to: to("participant.matrix", "matrix"),
        },
        Key {
            label: "overview.forms-complete",
            value: f.n(&forms.total.complete),
            of: of(forms.total.expected),
            to: to("participant.matrix", "matrix"),
        },
        Key {
            label: "overview.open-queries",
            value: f.n(&queries.total.open),
            of: String::new(),
            to: to("query.list", "queries"),
        },
        Key {
            label: "overview.verified",
            value: f.n(&verified.total.verified),
            of: of(verified.total.required),
            to: None,
        },
        Key { label: "overview.ready", value: f.n(&ready.total.ready), of: of(ready.total.participants), to: None },
    ]
}

fn site_name(study: &Study, site: &str) -> String {
    study.sites.iter().find(|known| known.site == site).map_or_else(|| site.to_owned(), |known| known.name.clone())
}

/// Enrolment week by week, over all sites, against the target.
fn growing(study: &Study, enrolment: &Enrolment) -> Panel {
    let mut weeks: BTreeMap<&str, Funnel> = BTreeMap::new();
    for week in enrolment.sites.iter().flat_map(|site| &site.weeks) {
        let sum = weeks.entry(&week.week).or_default();
        sum.screened += week.counts.screened;
        sum.consented += week.counts.consented;
        sum.enrolled += week.counts.enrolled;
    }
    let mut so_far = 0;
    let mut points = Vec::new();
    let mut rows = Vec::new();
    for (week, counts) in weeks {
        so_far += counts.enrolled;
        points.push((week.to_owned(), so_far));
        let at_site = |site: &crate::model::figures::SiteEnrolment| {
            site.weeks.iter().find(|one| one.week == week).map_or(0, |one| one.counts.enrolled)
        };
        let mut row = vec![counts.screened, counts.consented, counts.enrolled, so_far];
        row.extend(enrolment.sites.iter().map(at_site));
        rows.push((week.to_owned(), row));
    }
    Panel {
        title: "overview.growth",
        picture: chart::growth(&points, enrolment.target),
        legend: match enrolment.target {
            0 => vec![("curve", "overview.enrolled")],
            _ => vec![("curve", "overview.enrolled"), ("aim", "overview.target")],
        },
        head: vec!["table.week", "funnel.screened", "funnel.consented", "funnel.enrolled", "overview.so-far"],
        sites: enrolment.sites.iter().map(|site| site_name(study, &site.site)).collect(),
        rows,
    }
}

fn funnel(f: &Frame, total: &Funnel) -> Panel {
    let steps = [
        ("funnel.screened", total.screened, "good"),
        ("funnel.failed", total.failed, "bad"),
        ("funnel.consented", total.consented, "good"),
        ("funnel.enrolled", total.enrolled, "good"),
        ("funnel.randomised", total.randomised, "good"),
        ("funnel.completed", total.completed, "good"),
        ("funnel.withdrawn", total.withdrawn, "bad"),
    ];
    listed(f, "overview.funnel", "overview.step", &steps)
}

fn by_site(study: &Study, enrolment: &Enrolment) -> Panel {
    let row = |site: &crate::model::figures::SiteEnrolment| {
        let total = &site.total;
        let target = site.target.as_ref().map_or(0, |target| target.participants);
        (site_name(study, &site.site), vec![total.screened, total.enrolled, total.withdrawn, target])
    };
    let rows: Vec<_> = enrolment.sites.iter().map(row).collect();
    let bar = |(label, counts): &(String, Vec<u64>)| Bar {
        label: label.clone(),
        parts: vec![("good", counts[1]), ("wait", counts[3].saturating_sub(counts[1]))],
    };
    Panel {
        title: "overview.by-site",
        picture: chart::bars(&rows.iter().map(bar).collect::<Vec<_>>()),
        legend: vec![("good", "overview.enrolled"), ("wait", "overview.to-target")],
        head: vec!["table.site", "funnel.screened", "funnel.enrolled", "funnel.withdrawn", "overview.target"],
        sites: Vec::new(),
        rows,
    }
}

fn completeness(study: &Study, forms: &BySite<Forms>) -> Panel {
    let row = |site: &crate::model::figures::Of<Forms>| {
        let counts = &site.counts;
        (
            site_name(study, &site.site),
            vec![counts.complete, counts.in_progress, counts.not_started, counts.expected, counts.missing_items],
        )
    };
    let rows: Vec<_> = forms.sites.iter().map(row).collect();
    let bar = |(label, counts): &(String, Vec<u64>)| Bar {
        label: label.clone(),
        parts: vec![("good", counts[0]), ("wait", counts[1]), ("none", counts[2])],
    };
    Panel {
        title: "overview.completeness",
        picture: chart::bars(&rows.iter().map(bar).collect::<Vec<_>>()),
        legend: vec![("good", "forms.complete"), ("wait", "forms.in-progress"), ("none", "forms.not-started")],
        head: vec![
            "table.site",
            "forms.complete",
            "forms.in-progress",
            "forms.not-started",
            "forms.expected",
            "forms.missing-items",
        ],
        sites: Vec::new(),
        rows,
    }
}

/// A count for each of a few states: its words, the count, the class of its colour.
type Counted = [(&'static str, u64, &'static str)];

/// A bar and a row for each.
fn listed(f: &Frame, title: &'static str, head: &'static str, counted: &Counted) -> Panel {
    let bar = |(label, count, class): &(&'static str, u64, &'static str)| Bar {
        label: f.t(label).to_owned(),
        parts: vec![(class, *count)],
    };
    Panel {
        title,
        picture: chart::bars(&counted.iter().map(bar).collect::<Vec<_>>()),
        legend: Vec::new(),
        head: vec![head, "table.count"],
        sites: Vec::new(),
        rows: counted.iter().map(|(label, count, _)| (f.t(label).to_owned(), vec![*count])).collect(),
    }
}

fn visits_of(visits: &Visits) -> [(&'static str, u64, &'static str); 7] {
    [
        ("visits.in-window", visits.in_window, "good"),
        ("visits.upcoming", visits.upcoming, "none"),
        ("visits.due", visits.due, "wait"),
        ("visits.overdue", visits.overdue, "bad"),
        ("visits.out-of-window", visits.out_of_window, "late"),
        ("visits.missed", visits.missed, "bad"),
        ("visits.undated", visits.undated, "none"),
    ]
}

fn signatures_of(signatures: &Signatures) -> [(&'static str, u64, &'static str); 3] {
    [
        ("signatures.signed", signatures.signed, "good"),
        ("signatures.to-sign", signatures.to_sign, "wait"),
        ("signatures.again", signatures.to_sign_again, "late"),
    ]
}

fn ageing(f: &Frame, queries: &Queries) -> Panel {
    let ages = &queries.ages;
    let bands = [
        ("ages.week", ages.week, "good"),
        ("ages.fortnight", ages.fortnight, "wait"),
        ("ages.month", ages.month, "late"),
        ("ages.older", ages.older, "bad"),
    ];
    let bars: Vec<_> = bands
        .iter()
        .map(|(label, count, class)| Bar { label: f.t(label).into(), parts: vec![(class, *count)] })
        .collect();
    let mut rows: Vec<_> = bands.iter().map(|(label, count, _)| (f.t(label).to_owned(), vec![*count])).collect();
    for (label, count) in [("query-state.answered", queries.answered), ("query-state.closed", queries.closed)] {
        rows.push((f.t(label).to_owned(), vec![count]));
    }
    if let Some(hours) = queries.median_response_hours {
        rows.push((f.t("overview.median-hours").to_owned(), vec![hours.round() as u64]));
    }
    Panel {
        title: "overview.ageing",
        picture: chart::bars(&bars),
        legend: Vec::new(),
        head: vec!["overview.age", "table.count"],
        sites: Vec::new(),
        rows,
    }
}

fn verification(study: &Study, verified: &BySite<Verification>) -> Panel {
    let row = |site: &crate::model::figures::Of<Verification>| {
        let counts = &site.counts;
        (site_name(study, &site.site), vec![counts.verified, counts.backlog, counts.to_verify_again, counts.required])
    };
    let rows: Vec<_> = verified.sites.iter().map(row).collect();
    let bar = |(label, counts): &(String, Vec<u64>)| Bar {
        label: label.clone(),
        parts: vec![("good", counts[0]), ("wait", counts[1])],
    };
    Panel {
        title: "overview.verification",
        picture: chart::bars(&rows.iter().map(bar).collect::<Vec<_>>()),
        legend: vec![("good", "overview.verified"), ("wait", "overview.backlog")],
        head: vec!["table.site", "overview.verified", "overview.backlog", "overview.again", "overview.required"],
        sites: Vec::new(),
        rows,
    }
}

fn blockers(f: &Frame, ready: &Readiness) -> Panel {
    let named = |(kind, count): (&String, &u64)| (f.name("blocker", kind), *count);
    let mut kinds: Vec<_> = ready.by_kind.iter().map(named).collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut bars = vec![Bar { label: f.t("overview.ready").into(), parts: vec![("good", ready.ready)] }];
    bars.extend(kinds.iter().map(|(label, count)| Bar { label: label.clone(), parts: vec![("late", *count)] }));
    let mut rows = vec![(f.t("overview.ready").to_owned(), vec![ready.ready])];
    rows.extend(kinds.into_iter().map(|(label, count)| (label, vec![count])));
    Panel {
        title: "overview.readiness",
        picture: chart::bars(&bars),
        legend: Vec::new(),
        head: vec!["overview.blocker", "table.count"],
        sites: Vec::new(),
        rows,
    }
}
