//! `GET /RaveWebServices/datasets/ClinicalAuditRecords.odm`: the audit trail in pages, each entry a `ClinicalData`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use domain::history::Aggregate;
use domain::ids::QueryId;
use domain::participant::{FormKey, ItemKey};
use domain::port::Failure;
use edge::{Caller, Parameters, Problem};
use exchange::ExchangeError;
use exchange::model::Shown;
use exchange::odm::TrailPlace;
use exchange::odm::metadata::Oids;
use exchange::xml::{Tag, Xml};
use projection_svc::Visible;
use projection_svc::audit::{AuditEntry, Filter, StudyEntry, StudyTrail, TrailPosition};
use projection_svc::queries::{self, Head};
use projection_svc::studies::Study;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Document, seconds, study_oid, subcategory, unwritten, version_oid};
use crate::desk::{Entered, Queries};
use crate::trail::{odm, through};

/// An audit id is the commit's position times this, and the entry's number in it.
const ENTRIES_MAX: u64 = 1_000_000;
const PAGE: usize = 1_000;
const PAGE_MAX: usize = 10_000;

pub(super) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/RaveWebServices/datasets/ClinicalAuditRecords.odm", get(page))
}

/// What Rave's clients ask with. Every mode is the same here: all that the caller may see.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    studyoid: String,
    #[serde(default)]
    startid: u64,
    per_page: Option<usize>,
    #[serde(rename = "mode")]
    _mode: Option<String>,
    #[serde(rename = "unicode")]
    _unicode: Option<String>,
}

/// One page, from the entry with the id `startid` on. A header `Link` leads to the next one.
async fn page(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let (entered, study) = queries.enter_rave(&caller, "study.audit", &wanted.studyoid).await?;
    let size = match wanted.per_page.unwrap_or(PAGE) {
        size @ 1..=PAGE_MAX => size,
        _ => return Err(Problem::bad_request("invalid-limit", "per_page takes 1 to 10000")),
    };
    let from = TrailPosition {
        sequence: wanted.startid / ENTRIES_MAX,
        entries: u32::try_from(wanted.startid % ENTRIES_MAX).unwrap_or(u32::MAX),
    };
    let filter = Filter { participants_only: true, ..Filter::default() };
    let reader = (caller.sites.clone(), Visible::of(caller.actor.role));
    let tenant = Arc::clone(&entered.tenant);
    let mut trail = StudyTrail::new(tenant, study.study.clone(), filter, reader, from, through(&entered));
    let id = format!("AUDIT.{}.{}", study.study, wanted.startid);
    let mut writer = Writer {
        document: Document::begin("Transactional", id, &entered.reflected, std::slice::from_ref(&study))?,
        version: version_oid(&study, study.live_design.as_ref()).to_string(),
        oids: oids(&entered, &study).await?,
        study: &study,
        entered: &entered,
    };
    let (mut written, mut next) = (0, None);
    'page: while let Some(entries) = trail.next().await? {
        // Rave's audit trail speaks of pseudonyms.
        for entry in entries.into_iter().filter(|entry| entry.entry.aggregate != Aggregate::Identity) {
            if written == size {
                next = Some(audit_id(&entry.entry)?);
                break 'page;
            }
            writer.entry(&entry).await?;
            written += 1;
        }
    }
    let mut answer = writer.document.answer(&entered.reflected)?;
    if let Some(next) = next {
        let link = format!(
            "</RaveWebServices/datasets/ClinicalAuditRecords.odm?studyoid={}&startid={next}&per_page={size}>; rel=\"next\"",
            study_oid(&study).replace('(', "%28").replace(')', "%29")
        );
        let link = HeaderValue::try_from(link).map_err(|fault| Failure::damaged("the link to the next page", fault))?;
        answer.headers_mut().insert(header::LINK, link);
    }
    Ok(answer)
}

async fn oids(entered: &Entered, study: &Study) -> Result<Oids, Problem> {
    match study.designs.iter().find(|design| Some(design.design) == study.live_design) {
        Some(live) => Ok(Oids::of(&crate::studies::content_of(&entered.tenant, &study.study, live).await?)),
        None => Ok(Oids::default()),
    }
}

/// Rave counts audits: a number that grows with time.
fn audit_id(entry: &AuditEntry) -> Result<u64, Failure> {
    let parts = entry.id.split_once('/').and_then(|(sequence, n)| {
        Some(sequence.parse::<u64>().ok()?.checked_mul(ENTRIES_MAX)?.saturating_add(n.parse().ok()?))
    });
    parts.ok_or_else(|| Failure::damaged("the audit trail of the study", "an entry's id is no position"))
}

struct Writer<'a> {
    document: Document,
    version: String,
    oids: Oids,
    study: &'a Study,
    entered: &'a Entered,
}

impl Writer<'_> {
    /// One entry, or one for each item that it is about: Rave has what was verified item by item.
    async fn entry(&mut self, entry: &StudyEntry) -> Result<(), Problem> {
        let asked = self.asked(entry).await?;
        let mut places = items_of(&entry.entry);
        if places.is_empty() {
            let mut place = odm::place(&entry.entry);
            if let (None, Some(head)) = (&place.visit, &asked) {
                let details = json!({"place": head.place});
                place = odm::place(&AuditEntry { details, ..entry.entry.clone() });
            }
            places.push(place);
        }
        for place in places {
            self.one(entry, &place, asked.as_ref()).map_err(unwritten)?;
        }
        Ok(())
    }

    /// The query that an entry is about: an answer does not say again what was asked where.
    async fn asked(&self, entry: &StudyEntry) -> Result<Option<Head>, Failure> {
        let query = entry.entry.details.get("query").and_then(Value::as_str).and_then(|id| id.parse::<QueryId>().ok());
        match (query, entry.participant) {
            (Some(query), Some(participant)) => {
                queries::head(&self.entered.tenant, &self.study.study, participant, &query).await
            }
            _ => Ok(None),
        }
    }

    fn one(&mut self, entry: &StudyEntry, place: &TrailPlace, asked: Option<&Head>) -> Result<(), ExchangeError> {
        let (StudyEntry { participant: Some(participant), subject_number: Some(number), site: Some(site), .. }, xml) =
            (entry, &mut self.document.0)
        else {
            return Ok(());
        };
        xml.tag("ClinicalData")
            .attr("StudyOID", study_oid(self.study))
            .attr("MetaDataVersionOID", &self.version)
            .attr("mdsol:AuditSubCategoryName", subcategory::of(&entry.entry))
            .start()?;
        xml.tag("SubjectData")
            .attr("SubjectKey", participant.to_string())
            .attr("mdsol:SubjectKeyType", "SubjectUUID")
            .attr("mdsol:SubjectName", number.as_str())
            .maybe("TransactionType", place.visit.is_none().then_some("Upsert"))
            .start()?;
        let mut depth = 2;
        let said = Said { entry, asked, site: site.as_str() };
        if place.visit.is_none() {
            said.write(xml)?;
        }
        xml.tag("SiteRef").attr("LocationOID", site.as_str()).empty()?;
        if let Some((visit, repeat)) = &place.visit {
            let key = format!("{visit}[{repeat}]");
            let tag = xml.tag("StudyEventData").attr("StudyEventOID", self.oids.visit(visit));
            upsert(tag.attr("StudyEventRepeatKey", key), place.form.is_none()).start()?;
            depth += 1;
        }
        if let Some((form, repeat)) = &place.form {
            let tag = xml.tag("FormData").attr("FormOID", self.oids.form(form));
            upsert(tag.attr("FormRepeatKey", repeat.to_string()), place.item.is_none()).start()?;
            depth += 1;
        }
        if let Some((group, repeat, item)) = &place.item {
            let tag = xml.tag("ItemGroupData").attr("ItemGroupOID", self.oids.item_group(group));
            tag.attr("ItemGroupRepeatKey", repeat.to_string()).start()?;
            said.item(xml.tag("ItemData").attr("ItemOID", self.oids.item(item))).start()?;
            depth += 2;
        }
        if place.visit.is_some() {
            said.write(xml)?;
        }
        (0..depth).try_for_each(|_| xml.end())
    }
}

fn upsert<'x>(tag: Tag<'x, Vec<u8>>, here: bool) -> Tag<'x, Vec<u8>> {
    tag.maybe("TransactionType", here.then_some("Upsert"))
}

/// The items of a form that a fact names one by one.
fn items_of(entry: &AuditEntry) -> Vec<TrailPlace> {
    let read = |name: &str| entry.details.get(name).cloned();
    let form = read("form").and_then(|form| serde_json::from_value::<FormKey>(form).ok());
    let items = read("items").and_then(|items| serde_json::from_value::<Vec<ItemKey>>(items).ok());
    let (Some(form), Some(items)) = (form, items) else { return Vec::new() };
    let place = |item: ItemKey| {
        let details = json!({"form": form, "item": item});
        odm::place(&AuditEntry { form: None, item: None, details, ..entry.clone() })
    };
    items.into_iter().map(place).collect()
}

/// What an entry says at its place.
struct Said<'a> {
    entry: &'a StudyEntry,
    asked: Option<&'a Head>,
    site: &'a str,
}

impl Said<'_> {
    /// The item: its new value, or what became of it.
    fn item<'x>(&self, tag: Tag<'x, Vec<u8>>) -> Tag<'x, Vec<u8>> {
        let entry = &self.entry.entry;
        let value = entry.new.as_ref().and_then(|new| new.value()).map(odm::text);
        let yes = |events: [&str; 2]| match events.iter().position(|event| *event == entry.event) {
            Some(0) => Some("Yes"),
            Some(_) => Some("No"),
            None => None,
        };
        let unverified = entry.event == "verification-reset";
        tag.attr("TransactionType", "Upsert")
            .maybe("Value", value)
            .maybe("mdsol:Verify", yes(["data-verified", "verification-withdrawn"]).or(unverified.then_some("No")))
            .maybe("mdsol:Freeze", yes(["data-frozen", "data-unfrozen"]))
            .maybe("mdsol:Lock", yes(["data-locked", "data-unlocked"]))
    }

    fn write(&self, xml: &mut Xml<Vec<u8>>) -> Result<(), ExchangeError> {
        let (entry, restricted) = (&self.entry.entry, self.entry.restricted);
        xml.tag("AuditRecord").start()?;
        xml.tag("UserRef").attr("UserOID", entry.act.actor.id.to_string()).empty()?;
        xml.tag("LocationRef").attr("LocationOID", self.site).empty()?;
        xml.tag("DateTimeStamp").text(seconds(entry.act.stored_at.0))?;
        let reason = entry.reason.as_ref().map(|reason| odm::shown(reason, restricted, Clone::clone));
        let sealed = entry.values.get("reason").map(|reason| odm::shown(reason, restricted, odm::text));
        match reason.or(sealed) {
            Some(reason) => xml.tag("ReasonForChange").cdata(reason.words())?,
            None => xml.tag("ReasonForChange").empty()?,
        }
        let id = audit_id(entry).map_err(|_| ExchangeError::OutOfRange("the id of an audit"))?;
        xml.tag("SourceID").text(id.to_string())?;
        xml.end()?;
        self.missing(xml)?;
        self.query(xml)?;
        if entry.event == "form-reviewed" || entry.event == "review-reset" {
            let reviewed = if entry.event == "form-reviewed" { "Yes" } else { "No" };
            let group = entry.details.get("group").and_then(Value::as_str).unwrap_or_default();
            xml.tag("mdsol:Review").attr("GroupName", group).attr("Reviewed", reviewed).empty()?;
        }
        Ok(())
    }

    /// Why there is no value, where Rave has none to give.
    fn missing(&self, xml: &mut Xml<Vec<u8>>) -> Result<(), ExchangeError> {
        let new = self.entry.entry.new.as_ref().map(|new| odm::shown(new, self.entry.restricted, odm::text));
        let Some(why) = new.filter(|new| !matches!(new, Shown::Text(_))) else { return Ok(()) };
        xml.tag("Annotation").attr("SeqNum", "1").start()?;
        xml.tag("Comment").text(why.words())?;
        xml.end()
    }

    fn query(&self, xml: &mut Xml<Vec<u8>>) -> Result<(), ExchangeError> {
        let entry = &self.entry.entry;
        let Some(query) = entry.details.get("query").and_then(Value::as_str) else { return Ok(()) };
        let status = match entry.event.as_str() {
            "query-answered" => "Answered",
            "query-closed" => "Closed",
            "query-cancelled" => "Cancelled",
            _ => "Open",
        };
        let text = entry.values.get("text").map(|text| odm::shown(text, self.entry.restricted, odm::text));
        let answer = entry.event == "query-answered";
        let to = self.asked.and_then(|head| head.to).map_or("site", |role| role.as_str());
        xml.tag("mdsol:Query")
            .attr("QueryRepeatKey", query_number(query).to_string())
            .attr("Status", status)
            .attr("Recipient", to)
            .maybe("Value", text.as_ref().filter(|_| !answer).map(Shown::words))
            .maybe("Response", text.as_ref().filter(|_| answer).map(Shown::words))
            .empty()
    }
}

/// A number for a query, which Rave counts and we name: 53 bits of FNV-1a over its id, so that every language holds it.
fn query_number(query: &str) -> u64 {
    let hash = query
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash >> 11
}
