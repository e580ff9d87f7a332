//! Any data that is written, read and carried out is written the same again.

use std::collections::BTreeMap;

use domain::Moment;
use domain::design::StudyDesign;
use domain::ids::{Environment, Oid};
use domain::participant::{Command, FormKey, ItemKey, NotDone, VisitKey};
use exchange::model::{
    FormRecord, GroupRecord, ItemRecord, ItemState, Mark, Notes, ParticipantRecord, Shown, StudyExport, VisitRecord,
    VisitState,
};
use exchange::odm::{History, OdmOptions, OdmVersion, OdmWriter};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;
use time::macros::datetime;

use super::super::plan;
use super::clinical;
use super::round_trip::VERSIONS;

fn oid(text: &str) -> Oid {
    text.parse().expect("valid")
}

/// Everything that can repeat does; two definitions share an OID.
fn design() -> StudyDesign {
    let item = |oid: &str| json!({"oid": oid, "name": oid, "data_type": "text"});
    serde_json::from_value(json!({
        "name": "Cardio", "version": "1",
        "visits": [
            {"oid": "V", "name": "Visit", "repeating": true, "forms": [{"oid": "F"}, {"oid": "G"}]},
            {"oid": "W", "name": "Visit", "forms": [{"oid": "F"}]},
        ],
        "forms": [
            {"oid": "F", "name": "Form", "repeating": true, "item_groups": [{"oid": "G"}, {"oid": "H"}]},
            {"oid": "G", "name": "Other form", "item_groups": [{"oid": "H"}]},
        ],
        "item_groups": [
            {"oid": "G", "name": "Group", "repeating": true, "items": [{"oid": "A"}, {"oid": "B"}]},
            {"oid": "H", "name": "Group", "items": [{"oid": "C"}]},
        ],
        "items": [item("A"), item("B"), item("C")],
    }))
    .expect("a design")
}

/// A record as it stands in a study: what commands make, and what a file is written of.
#[derive(Debug, Clone, Default, PartialEq)]
struct Study {
    visits: BTreeMap<VisitKey, VisitSaid>,
    forms: BTreeMap<FormKey, Form>,
    withdrawn: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum VisitSaid {
    Started(String),
    Missed(String),
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Form {
    items: BTreeMap<ItemKey, Result<String, NotDone>>,
    completed: bool,
    removed: bool,
}

impl Study {
    fn takes(&mut self, command: Command) {
        match command {
            Command::StartVisit { visit, on, .. } => {
                self.visits.insert(visit, VisitSaid::Started(on.0.to_string()));
            }
            Command::MissVisit { visit, reason } => {
                self.visits.insert(visit, VisitSaid::Missed(reason.0));
            }
            Command::SaveItems { form, items, .. } => {
                let form = self.forms.entry(form).or_default();
                for item in items {
                    let key = item.key();
                    let state = item.value.map(String::from).ok_or_else(|| item.not_done.expect("one of both"));
                    form.items.insert(key, state);
                }
            }
            Command::CompleteForm { form } => self.forms.entry(form).or_default().completed = true,
            Command::RemoveForm { form, .. } => self.forms.entry(form).or_default().removed = true,
            Command::Withdraw { .. } => self.withdrawn = true,
            other => panic!("{other:?} was not in it"),
        }
    }

    fn record(&self) -> ParticipantRecord {
        let mut visits: BTreeMap<VisitKey, VisitRecord> = BTreeMap::new();
        let keys = self.visits.keys().cloned().chain(self.forms.keys().map(FormKey::visit));
        for key in keys {
            let state = match self.visits.get(&key) {
                None => VisitState::Unsaid,
                Some(VisitSaid::Started(on)) => VisitState::Started(Shown::Text(on.clone())),
                Some(VisitSaid::Missed(why)) => VisitState::Missed(Shown::Text(why.clone())),
            };
            let forms = self.forms.iter().filter(|(form, _)| form.visit() == key).map(form_record).collect();
            let (visit, repeat) = (key.visit.clone(), key.visit_repeat);
            visits.insert(key, VisitRecord { visit, repeat, state, forms, notes: Notes::default() });
        }
        ParticipantRecord {
            subject_number: "B-001".parse().expect("valid"),
            site: "oslo".parse().expect("valid"),
            restricted: false,
            withdrawn: self.withdrawn,
            registered: None,
            visits: visits.into_values().collect(),
            notes: Notes::default(),
        }
    }
}

fn form_record((key, form): (&FormKey, &Form)) -> FormRecord {
    let mut groups: Vec<GroupRecord> = Vec::new();
    for (item, state) in &form.items {
        let state = state.clone().map_or_else(ItemState::NotDone, ItemState::Value);
        let record =
            ItemRecord { item: item.item.clone(), state, computed: false, changes: vec![], notes: Notes::default() };
        match groups.last_mut().filter(|last| last.group == item.group && last.repeat == item.group_repeat) {
            Some(group) => group.items.push(record),
            None => {
                groups.push(GroupRecord { group: item.group.clone(), repeat: item.group_repeat, items: vec![record] })
            }
        }
    }
    let marks = [(form.completed, Mark::Completed), (form.removed, Mark::Removed)];
    let marks = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark).collect();
    let notes = Notes { marks, ..Notes::default() };
    FormRecord { form: key.form.clone(), repeat: key.form_repeat, groups, notes }
}

fn written(study: &Study, design: &StudyDesign, version: OdmVersion) -> String {
    let at = Moment(datetime!(2026-11-22 12:00 UTC));
    let export = StudyExport {
        study: "cardio".parse().expect("valid"),
        environment: Environment::Test,
        design,
        created_at: at,
        as_of: at,
        file_oid: "export.1".into(),
        software_version: "0.1.0",
        users: vec![],
        sites: vec![],
    };
    let options = OdmOptions { version, history: History::None, notes: true, metadata: false };
    let mut writer = OdmWriter::begin(Vec::new(), &export, options).expect("a vector takes all");
    writer.participant(&study.record()).expect("a vector takes all");
    String::from_utf8(writer.finish().expect("a vector takes all").0).expect("UTF-8")
}

fn forms() -> impl Strategy<Value = Form> {
    let keys: Vec<ItemKey> = [("G", 1, "A"), ("G", 1, "B"), ("G", 4, "A"), ("H", 1, "C")]
        .into_iter()
        .map(|(group, group_repeat, item)| ItemKey { group: oid(group), group_repeat, item: oid(item) })
        .collect();
    let value = prop_oneof![
        3 => "[ -~äß\n\t]{1,8}".prop_map(Ok),
        1 => select(vec![NotDone::NotDone, NotDone::NotApplicable, NotDone::Unknown, NotDone::Refused]).prop_map(Err),
    ];
    let count = keys.len();
    let items = (subsequence(keys, 1..=count), prop::collection::vec(value, count));
    (items, any::<bool>(), any::<bool>()).prop_map(|((keys, values), completed, removed)| Form {
        items: keys.into_iter().zip(values).collect(),
        completed,
        removed,
    })
}

fn studies() -> impl Strategy<Value = Study> {
    let visits: Vec<VisitKey> = [("V", 1), ("V", 3), ("W", 1)]
        .into_iter()
        .map(|(visit, visit_repeat)| VisitKey { visit: oid(visit), visit_repeat })
        .collect();
    let places: Vec<FormKey> = [("V", 1, "F", 1), ("V", 1, "F", 2), ("V", 3, "F", 7), ("W", 1, "F", 1)]
        .into_iter()
        .map(|(visit, visit_repeat, form, form_repeat)| FormKey {
            visit: oid(visit),
            visit_repeat,
            form: oid(form),
            form_repeat,
        })
        .collect();
    let said = prop_oneof![
        select(vec!["2026-01-05", "2024-02-29"]).prop_map(|day| VisitSaid::Started(day.into())),
        "[!-~é]{1,6}( [!-~]{1,3})?".prop_map(VisitSaid::Missed),
    ];
    let visits = (subsequence(visits, 0..=3), prop::collection::vec(said, 3));
    let places = (subsequence(places, 0..=4), prop::collection::vec(forms(), 4));
    (visits, places, any::<bool>()).prop_map(|((visits, said), (places, forms), withdrawn)| Study {
        visits: visits.into_iter().zip(said).collect(),
        forms: places.into_iter().zip(forms).collect(),
        withdrawn,
    })
}

proptest! {
    #[test]
    fn what_is_written_and_read_is_written_the_same(study in studies()) {
        let design = design();
        for version in VERSIONS {
            let file = written(&study, &design, version);
            let (participants, report) = clinical(&file).expect("what we write can be read");
            prop_assert_eq!(report.counts().refused, 0, "{}", report);
            let plan = plan(&participants[0], &design);
            prop_assert_eq!(plan.report.rows, vec![], "{:?}", version);
            let mut again = Study::default();
            plan.steps.into_iter().for_each(|step| again.takes(step.command));
            prop_assert_eq!(&again, &study, "{:?}", version);
            prop_assert_eq!(written(&again, &design, version), file, "{:?}", version);
        }
    }
}
