//! An invented study with everything that a study can have, and some of what it should not.

use domain::Moment;
use domain::design::StudyDesign;
use domain::history::CommitHash;
use domain::ids::{Environment, UserId};
use domain::participant::{Meaning, NotDone, QueryKind, QueryState, Source};
use domain::permit::Role;
use exchange::model::*;
use serde_json::json;
use time::{Duration, OffsetDateTime};

/// A text as an id of whatever kind is wanted.
pub(crate) fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is no such id"))
}

pub(crate) fn at(minutes: i64) -> Moment {
    let begin = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    Moment(begin + Duration::minutes(minutes))
}

fn user(n: u8) -> UserId {
    id(&format!("00000000-0000-4000-8000-0000000000{n:02}"))
}

pub(crate) fn act(minutes: i64, role: Role) -> Act {
    let n = if role == Role::Investigator { 1 } else { 2 };
    let (captured_at, stored_at) = (at(minutes - 2), at(minutes));
    Act { user: user(n), role, organisation: id("clinic"), captured_at, stored_at, source: Source::User }
}

pub(crate) fn export(design: &StudyDesign) -> StudyExport<'_> {
    let entry = |n, role, name: Option<&str>| UserEntry {
        user: user(n),
        role,
        organisation: id("clinic"),
        name: name.map(|name| Shown::Text(name.into())),
    };
    let site = |site: &str, name: &str| SiteEntry {
        site: id(site),
        name: id(name),
        live_since: domain::Day(time::macros::date!(2026 - 01 - 15)),
    };
    StudyExport {
        study: id("rich"),
        environment: Environment::Test,
        design,
        created_at: at(100_000),
        as_of: at(90_000),
        file_oid: "rich.export.1".into(),
        software_version: "0.1.0",
        users: vec![entry(1, Role::Investigator, Some("Dr. Ada <Example>")), entry(2, Role::Monitor, None)],
        sites: vec![site("clinic-1", "Clinic & Søns"), site("clinic-2", "Second clinic")],
    }
}

pub(crate) fn design() -> StudyDesign {
    serde_json::from_value(json!({
        "name": "Rich study", "version": "v1.0",
        "visits": [
            {"oid": "SCR", "name": "Screening", "labels": {"en": "Screening", "de": "Voruntersuchung"},
             "forms": [{"oid": "DM", "mandatory": true}, {"oid": "AE"}]},
            {"oid": "FU", "name": "Follow-up", "repeating": true, "window": {"days": 28, "early": 3, "late": 5},
             "forms": [{"oid": "VITALS"}, {"oid": "AE"}]},
        ],
        "forms": [
            {"oid": "DM", "name": "Demography", "labels": {"en": "Demography", "fr": "Démographie"}, "sdv": "all",
             "signature": true, "item_groups": [{"oid": "DEMO", "mandatory": true}]},
            {"oid": "VITALS", "name": "Vital signs", "item_groups": [{"oid": "VS"}, {"oid": "VSHEAD"}]},
            // The same OID as its item group: ODM 2.0 has one kind of definition for both.
            {"oid": "AE", "name": "Adverse event", "repeating": true, "item_groups": [{"oid": "AE"}]},
        ],
        "item_groups": [
            {"oid": "DEMO", "name": "Demography", "items": [{"oid": "BIRTH", "mandatory": true}, {"oid": "SEX"}, {"oid": "I.CONSENTED"},
                {"oid": "ARMGUESS"}, {"oid": "SCAN"}, {"oid": "NOTE"}]},
            {"oid": "VSHEAD", "name": "Vital signs, head", "items": [{"oid": "TAKEN.AT"}, {"oid": "TAKEN.ON"}, {"oid": "CLOCK"}]},
            {"oid": "VS", "name": "Vital signs", "repeating": true,
             "labels": {"en": "Vital signs as they were measured, sitting and standing"},
             "items": [{"oid": "SYSTOLIC.PRESSURE"}, {"oid": "SYSTOLIC.PULSE"}, {"oid": "TEMP"}, {"oid": "NOTE"}]},
            {"oid": "AE", "name": "Adverse event",
             "items": [{"oid": "AETERM"}, {"oid": "AESTART"}, {"oid": "COUNT"}, {"oid": "EXACT"}]},
        ],
        "items": [
            {"oid": "BIRTH", "name": "Birth", "data_type": "partial-date", "labels": {"en": "Date of birth", "de": "Geburtsdatum"}},
            {"oid": "SEX", "name": "Sex", "data_type": "text", "length": 1, "code_list": "CL.SEX",
             "labels": {"en": "Sex", "de": "Geschlecht", "ja": "性別"}},
            {"oid": "I.CONSENTED", "name": "Consented", "data_type": "boolean"},
            {"oid": "ARMGUESS", "name": "Arm guessed", "data_type": "text", "blinded": true},
            {"oid": "SCAN", "name": "Scan", "data_type": "file"},
            {"oid": "NOTE", "name": "Note", "data_type": "text",
             "labels": {"en": "A note, in whatever words whoever writes it finds best, about anything"}},
            {"oid": "TAKEN.AT", "name": "Taken at", "data_type": "date-time"},
            {"oid": "TAKEN.ON", "name": "Taken on", "data_type": "date"},
            {"oid": "CLOCK", "name": "Clock", "data_type": "time"},
            {"oid": "SYSTOLIC.PRESSURE", "name": "Pressure", "data_type": "integer", "unit": "MMHG", "critical": true, "sdv": true,
             "range_checks": [{"comparator": "LE", "hard": false, "values": ["180"], "message": {"en": "High"}}]},
            {"oid": "SYSTOLIC.PULSE", "name": "Pulse", "data_type": "integer"},
            {"oid": "TEMP", "name": "Temperature", "data_type": "decimal", "unit": "CEL"},
            {"oid": "AETERM", "name": "Term", "data_type": "text"},
            {"oid": "AESTART", "name": "Start", "data_type": "partial-date"},
            {"oid": "COUNT", "name": "Count", "data_type": "integer"},
            {"oid": "EXACT", "name": "Exact", "data_type": "decimal"},
        ],
        "code_lists": [{"oid": "CL.SEX", "name": "Sex", "codes": [
            {"value": "F", "labels": {"en": "Female", "de": "weiblich"}}, {"value": "M", "labels": {"en": "Male"}}]}],
        "units": {"MMHG": {"en": "mmHg"}, "CEL": {"en": "°C"}},
    }))
    .expect("a design")
}

fn value(text: &str) -> ItemState {
    ItemState::Value(text.to_owned())
}

/// An item as it stands, with the history that led there.
fn item(oid: &str, states: &[ItemState]) -> ItemRecord {
    let change = |(n, state): (usize, &ItemState)| Change {
        state: state.clone(),
        by: act(10 + 60 * n as i64, Role::Investigator),
        reason: (n > 0).then(|| Shown::Text(format!("Correction {n} & \"source\" <checked>"))),
    };
    ItemRecord {
        item: id(oid),
        state: states.last().unwrap().clone(),
        computed: false,
        changes: states.iter().enumerate().map(change).collect(),
        notes: Notes::default(),
    }
}

fn one(oid: &str, text: &str) -> ItemRecord {
    item(oid, &[value(text)])
}

fn group(oid: &str, repeat: u32, items: Vec<ItemRecord>) -> GroupRecord {
    GroupRecord { group: id(oid), repeat, items }
}

fn form(oid: &str, repeat: u32, groups: Vec<GroupRecord>) -> FormRecord {
    FormRecord { form: id(oid), repeat, groups, notes: Notes::default() }
}

fn visit(oid: &str, repeat: u32, forms: Vec<FormRecord>) -> VisitRecord {
    let state = VisitState::Started(Shown::Text("2026-03-04".into()));
    VisitRecord { visit: id(oid), repeat, state, forms, notes: Notes::default() }
}

fn participant(number: &str, site: &str, visits: Vec<VisitRecord>) -> ParticipantRecord {
    ParticipantRecord {
        subject_number: id(number),
        site: id(site),
        restricted: false,
        withdrawn: false,
        registered: Some(act(1, Role::Investigator)),
        visits,
        notes: Notes::default(),
    }
}

fn message(step: Step, minutes: i64, role: Role, text: &str) -> Message {
    Message { step, by: act(minutes, role), text: Some(Shown::Text(text.into())) }
}

fn query(n: u8, kind: QueryKind, state: QueryState, thread: Vec<Message>) -> QueryRecord {
    let check = (kind == QueryKind::System).then(|| id("PRESSURE-HIGH"));
    QueryRecord { query: id(&format!("c0ffee-{n}")), kind, state, check, to: None, thread }
}

fn signature(n: u8, holds: bool) -> SignatureRecord {
    SignatureRecord {
        signature: id(&format!("5151-{n}")),
        meaning: Meaning::Responsibility,
        printed_name: Shown::Text("Dr. Ada <Example>".into()),
        by: act(500 + i64::from(n), Role::Investigator),
        digest: CommitHash([n; 32]),
        holds,
    }
}

/// Everything in order.
fn whole() -> ParticipantRecord {
    let mut pressure = item("SYSTOLIC.PRESSURE", &[value("310"), value("130")]);
    pressure.notes.queries = vec![query(
        1,
        QueryKind::System,
        QueryState::Closed,
        vec![
            message(Step::Opened, 20, Role::Investigator, "Is this right? It is > 180."),
            message(Step::Answered, 50, Role::Investigator, "No: it was 130."),
            message(Step::Closed, 60, Role::Monitor, ""),
        ],
    )];
    pressure.notes.marks = vec![Mark::Verified];
    let mut temperature = one("TEMP", "36.6");
    temperature.computed = true;
    let rows = vec![
        group("VS", 1, vec![pressure, one("SYSTOLIC.PULSE", "-5"), temperature, one("NOTE", "=SUM(A1:A9)")]),
        group("VS", 2, vec![one("SYSTOLIC.PRESSURE", "+120"), one("TEMP", "-0.50"), one("NOTE", "Line one\nline two")]),
        group(
            "VSHEAD",
            1,
            vec![one("TAKEN.AT", "2026-03-04T13:45:30+01:00"), one("TAKEN.ON", "2026-03-04"), one("CLOCK", "13:45")],
        ),
    ];
    let mut vitals = form("VITALS", 1, rows);
    vitals.notes.signatures = vec![signature(1, false), signature(2, true)];
    vitals.notes.marks = vec![Mark::Completed, Mark::Locked];
    vitals.notes.queries = vec![query(
        2,
        QueryKind::Manual,
        QueryState::Open,
        vec![message(Step::Opened, 70, Role::Monitor, "Where is the second page?")],
    )];
    let demography = form(
        "DM",
        1,
        vec![group(
            "DEMO",
            1,
            vec![
                one("BIRTH", "1961-07"),
                one("SEX", "F"),
                one("I.CONSENTED", "1"),
                one("ARMGUESS", "A"),
                one("SCAN", "https://files.example.org/scan?a=1&b=2"),
                one("NOTE", "\"Quoted\", with a comma; ünïcödé, 日本語 and an emoji 🩺"),
            ],
        )],
    );
    participant(
        "001-001",
        "clinic-1",
        vec![
            visit("SCR", 1, vec![demography]),
            visit("FU", 1, vec![vitals]),
            visit("FU", 2, vec![form("VITALS", 1, vec![group("VS", 1, vec![one("TEMP", "40")])])]),
        ],
    )
}

/// Whatever does not fit somewhere.
fn large() -> ParticipantRecord {
    let long = format!("{} end", "Dizzy, then sick ä€ ".repeat(60));
    let event = |repeat, items| form("AE", repeat, vec![group("AE", 1, items)]);
    participant(
        "001-002",
        "clinic-1",
        vec![visit(
            "SCR",
            1,
            vec![
                event(
                    1,
                    vec![
                        one("AETERM", &long),
                        one("AESTART", "2026"),
                        one("COUNT", "9007199254740993"),
                        one("EXACT", "0.1234567890123456789"),
                    ],
                ),
                event(
                    2,
                    vec![
                        one("AETERM", "  leading and a tab\tinside"),
                        one("AESTART", "2026-02-28"),
                        one("COUNT", "-7"),
                        one("EXACT", "100000000000000000000.5"),
                    ],
                ),
            ],
        )],
    )
}

/// Every way in which a value can be missing.
fn gone() -> ParticipantRecord {
    let state = |oid, state| item(oid, &[value("1"), state]);
    let demography = form(
        "DM",
        1,
        vec![group(
            "DEMO",
            1,
            vec![
                item("BIRTH", &[value("1950"), ItemState::Erased]),
                item("SEX", &[ItemState::NotDone(NotDone::Refused)]),
                state("I.CONSENTED", ItemState::Cleared),
                item("ARMGUESS", &[ItemState::Withheld(Withheld::Blinded)]),
                item("SCAN", &[ItemState::Withheld(Withheld::NoRight)]),
                item("NOTE", &[ItemState::NotDone(NotDone::NotApplicable)]),
            ],
        )],
    );
    let pulse = item("SYSTOLIC.PULSE", &[value("70"), ItemState::Cleared, value("71")]);
    let unknown = item("SYSTOLIC.PRESSURE", &[ItemState::NotDone(NotDone::Unknown)]);
    let done = item("TEMP", &[ItemState::NotDone(NotDone::NotDone)]);
    let vitals = form("VITALS", 1, vec![group("VS", 1, vec![unknown, pulse, done])]);
    let mut missed = visit("FU", 2, vec![]);
    missed.state = VisitState::Missed(Shown::Erased);
    let mut record = participant(
        "002-001",
        "clinic-2",
        vec![visit("SCR", 1, vec![demography]), visit("FU", 1, vec![vitals]), missed],
    );
    record.withdrawn = true;
    record.notes.queries = vec![query(
        3,
        QueryKind::Annotation,
        QueryState::Open,
        vec![Message {
            step: Step::Opened,
            by: act(90, Role::Monitor),
            text: Some(Shown::Withheld(Withheld::NoRight)),
        }],
    )];
    record
}

/// Restricted: known by number only.
fn restricted() -> ParticipantRecord {
    let mut record = participant("002-002", "clinic-2", vec![]);
    record.restricted = true;
    record
}

pub(crate) fn participants() -> Vec<ParticipantRecord> {
    vec![whole(), large(), gone(), restricted()]
}
