//! The vital signs of the CDISC pilot study: in by a mapping, out in every format, about 30 000 records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};

use domain::design::StudyDesign;
use exchange::csv::{Mapping, Rows};
use exchange::model::*;
use exchange::odm::{History, OdmOptions, OdmVersion, OdmWriter};
use exchange::table::By;
use serde_json::json;

use super::{fixture, judges, rich};

const ITEMS: &[(&str, &str)] = &[
    ("VSSEQ", "integer"),
    ("VSTESTCD", "text"),
    ("VSTEST", "text"),
    ("VSPOS", "text"),
    ("VSORRES", "decimal"),
    ("VSORRESU", "text"),
    ("VSSTRESN", "decimal"),
    ("VSDTC", "partial-date"),
    ("VSDY", "integer"),
    ("VSTPT", "text"),
];

fn design(visits: &BTreeSet<String>) -> StudyDesign {
    let visit = |oid: &String| json!({"oid": oid, "name": oid, "forms": [{"oid": "VS"}]});
    serde_json::from_value(json!({
        "name": "CDISC pilot study 01", "version": "1",
        "visits": visits.iter().map(visit).collect::<Vec<_>>(),
        "forms": [{"oid": "VS", "name": "Vital signs", "item_groups": [{"oid": "VS"}]}],
        "item_groups": [{"oid": "VS", "name": "Vital signs", "repeating": true,
            "items": ITEMS.iter().map(|(oid, _)| json!({"oid": oid})).collect::<Vec<_>>()}],
        "items": ITEMS.iter().map(|(oid, data_type)| json!({"oid": oid, "name": oid, "data_type": data_type}))
            .collect::<Vec<_>>(),
    }))
    .unwrap()
}

fn mapping(visits: &BTreeMap<String, String>) -> Mapping {
    serde_json::from_value(json!({
        "subject_number": {"column": "USUBJID"},
        "visit": {"codes": {"column": "VISITNUM", "codes": visits}},
        "form": {"constant": "VS"}, "group": {"constant": "VS"}, "group_repeat": "count", "null": ["NA"],
        "items": ITEMS.iter().map(|(oid, data_type)| json!({"column": oid, "item": oid, "whole": *data_type == "integer"}))
            .collect::<Vec<_>>(),
    }))
    .unwrap()
}

/// The visits of the file: what stands there, and their OID.
fn visits(source: &Path) -> BTreeMap<String, String> {
    let mut reader = exchange::csv::CsvReader::new(BufReader::new(File::open(source).unwrap()), b',');
    let header = reader.next_row().unwrap().unwrap();
    let at = header.fields.iter().position(|name| name.as_deref() == Some("VISITNUM")).unwrap();
    let mut visits = BTreeMap::new();
    while let Some(mut row) = reader.next_row().unwrap() {
        let number = row.fields[at].take().unwrap();
        visits.insert(number.clone(), format!("V{}", number.strip_suffix(".0").unwrap_or(&number)));
    }
    visits
}

fn participants(source: &Path, mapping: &Mapping, design: &StudyDesign) -> Vec<ParticipantRecord> {
    let mut rows = Rows::begin(BufReader::new(File::open(source).unwrap()), mapping, design).unwrap();
    let mut found: BTreeMap<String, BTreeMap<String, Vec<GroupRecord>>> = BTreeMap::new();
    while let Some(row) = rows.next_row().unwrap() {
        let row = row.expect("every row of the pilot study can be read");
        let item = |item: exchange::csv::MappedItem| ItemRecord {
            item: item.item.item,
            state: ItemState::Value(item.value.expect("a file with values").0),
            computed: false,
            changes: vec![],
            notes: Notes::default(),
        };
        let visit =
            found.entry(row.subject_number.to_string()).or_default().entry(row.form.visit.to_string()).or_default();
        let repeat = row.items[0].item.group_repeat;
        visit.push(GroupRecord { group: fixture::id("VS"), repeat, items: row.items.into_iter().map(item).collect() });
    }
    let record = |(number, visits): (String, BTreeMap<String, Vec<GroupRecord>>)| ParticipantRecord {
        subject_number: fixture::id(&number),
        site: fixture::id(&number[3..6]),
        restricted: false,
        withdrawn: false,
        registered: None,
        visits: visits
            .into_iter()
            .map(|(visit, groups)| VisitRecord {
                visit: fixture::id(&visit),
                repeat: 1,
                state: VisitState::Unsaid,
                forms: vec![FormRecord { form: fixture::id("VS"), repeat: 1, groups, notes: Notes::default() }],
                notes: Notes::default(),
            })
            .collect(),
        notes: Notes::default(),
    };
    found.into_iter().map(record).collect()
}

#[test]
fn the_judges_find_every_value_of_the_pilot_study() {
    const TEST: &str = "the_judges_find_every_value_of_the_pilot_study";
    let Some(packed) = judges::shared("data/pv_vs.csv.gz") else {
        return println!("skipped: {TEST} (there is no ../shared/data/pv_vs.csv.gz)");
    };
    let folder = judges::folder("pilot");
    let source = folder.join("source.csv");
    let unpacked = Command::new("gzip").arg("-dc").arg(packed).stdin(Stdio::null()).output().unwrap();
    assert!(unpacked.status.success());
    fs::write(&source, unpacked.stdout).unwrap();
    let visits = visits(&source);
    let design = design(&visits.values().cloned().collect());
    let participants = participants(&source, &mapping(&visits), &design);
    assert_eq!(participants.len(), 254);
    let export = fixture::export(&design);
    for (version, short) in [(OdmVersion::V1_3_2, "132"), (OdmVersion::V2_0, "20")] {
        let options = OdmOptions { version, history: History::None, notes: false, metadata: false };
        let to = rich::file(&folder, &format!("study.plain.odm{short}.xml"));
        let mut writer = OdmWriter::begin(to, &export, options).unwrap();
        participants.iter().for_each(|record| writer.participant(record).unwrap());
        writer.finish().unwrap();
    }
    rich::write_tables(&folder, &export, &participants, By::ItemGroup);
    fs::rename(&source, folder.join("source")).unwrap();
    let types: BTreeMap<_, _> = ITEMS.iter().copied().collect();
    fs::write(folder.join("columns.json"), serde_json::to_vec(&types).unwrap()).unwrap();
    judges::judge(TEST, &["pilot", &folder.display().to_string()]);
}
