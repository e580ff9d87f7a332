//! The invented study in every format.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use exchange::csv::{CsvOptions, write_csv};
use exchange::dataset_json::{DatasetForm, write_dataset};
use exchange::manifest::{Counts, Hashed};
use exchange::model::{Mark, ParticipantRecord, StudyExport};
use exchange::odm::{History, OdmOptions, OdmVersion, OdmWriter};
use exchange::table::{By, Spooled};
use exchange::xpt::{XptLoss, XptWritten, dataset_names, write_xpt};
use serde_json::json;

use super::{expected, fixture, judges};

pub(crate) fn file(folder: &Path, name: &str) -> BufWriter<File> {
    BufWriter::new(File::create(folder.join(name)).unwrap())
}

pub(crate) fn write_odm(folder: &Path, export: &StudyExport<'_>, participants: &[ParticipantRecord], metadata: bool) {
    for (version, short) in [(OdmVersion::V1_3_2, "132"), (OdmVersion::V2_0, "20")] {
        for (history, how) in [(History::None, "plain"), (History::Last, "last"), (History::Whole, "whole")] {
            let options = OdmOptions { version, history, notes: history != History::None, metadata };
            let to = file(folder, &format!("study.{how}.odm{short}.xml"));
            let mut writer = OdmWriter::begin(to, export, options).unwrap();
            participants.iter().for_each(|record| writer.participant(record).unwrap());
            let (_, replaced) = writer.finish().unwrap();
            assert_eq!(replaced, 0);
        }
    }
}

pub(crate) fn write_tables(
    folder: &Path,
    export: &StudyExport<'_>,
    participants: &[ParticipantRecord],
    by: By,
) -> Vec<XptWritten> {
    let mut spooled = Spooled::begin(&export.study, export.design, by, |_| Ok(Vec::new())).unwrap();
    participants.iter().for_each(|record| spooled.participant(record).unwrap());
    let mut tables = spooled.finish();
    let names = dataset_names(tables.iter().map(|table| &table.table));
    let mut written = Vec::new();
    for (table, name) in tables.iter_mut().zip(names) {
        let stem = format!("{by:?}.{}", table.table.oid);
        write_csv(table, &mut file(folder, &format!("{stem}.csv")), CsvOptions::default()).unwrap();
        write_dataset(export, table, DatasetForm::Json, &mut file(folder, &format!("{stem}.json"))).unwrap();
        write_dataset(export, table, DatasetForm::NdJson, &mut file(folder, &format!("{stem}.ndjson"))).unwrap();
        let xpt = write_xpt(export, table, &name, &mut file(folder, &format!("{stem}.xpt"))).unwrap();
        fs::write(folder.join(format!("{stem}.xpt.map")), serde_json::to_vec(&xpt).unwrap()).unwrap();
        written.push(xpt);
    }
    written
}

#[test]
fn the_judges_find_every_value_in_every_format() {
    let folder = judges::folder("rich");
    let (design, participants) = (fixture::design(), fixture::participants());
    assert_eq!(design.faults(), []);
    let export = fixture::export(&design);
    write_odm(&folder, &export, &participants, true);
    for by in [By::ItemGroup, By::Form] {
        write_tables(&folder, &export, &participants, by);
    }
    let expected = json!({
        "study": "rich",
        "subjects": participants.iter().map(|record| record.subject_number.as_str()).collect::<Vec<_>>(),
        "items": expected::items(&design, &participants),
    });
    fs::write(folder.join("expected.json"), serde_json::to_vec(&expected).unwrap()).unwrap();
    judges::judge("the_judges_find_every_value_in_every_format", &["rich", &folder.display().to_string()]);
}

#[test]
fn the_judges_read_a_study_without_a_participant() {
    let folder = judges::folder("empty");
    let design = fixture::design();
    let export = fixture::export(&design);
    write_odm(&folder, &export, &[], true);
    write_tables(&folder, &export, &[], By::ItemGroup);
    judges::judge("the_judges_read_a_study_without_a_participant", &["empty", &folder.display().to_string()]);
}

#[test]
fn a_form_that_was_removed_stands_in_no_table() {
    let design = fixture::design();
    let mut records = fixture::participants();
    let count = |records: &[ParticipantRecord]| {
        let mut spooled = Spooled::begin(&fixture::id("rich"), &design, By::Form, |_| Ok(Vec::new())).unwrap();
        records.iter().for_each(|record| spooled.participant(record).unwrap());
        spooled.finish().iter().map(|table| table.records).sum::<u64>()
    };
    let before = count(&records);
    records[0].visits[0].forms[0].notes.marks.push(Mark::Removed);
    assert_eq!(count(&records), before - 1);
}

#[test]
fn what_does_not_fit_into_sas_is_reported() {
    let folder = judges::folder("sas");
    let (design, participants) = (fixture::design(), fixture::participants());
    let written = write_tables(&folder, &fixture::export(&design), &participants, By::ItemGroup);
    let lost: Vec<_> = written
        .iter()
        .flat_map(|it| it.notes.iter().map(|note| (it.oid.as_str(), note.column.as_deref(), note.what, note.records)))
        .collect();
    let wanted = [
        ("DEMO", Some("NOTE"), XptLoss::LabelCut, 0),
        ("DEMO", Some("NOTE"), XptLoss::NotAscii, 1),
        ("VS", None, XptLoss::LabelCut, 0),
        ("VS", Some("NOTE"), XptLoss::LabelCut, 0),
        ("AE", Some("AETERM"), XptLoss::TextSplit, 1),
        ("AE", Some("AETERM"), XptLoss::NotAscii, 1),
        ("AE", Some("COUNT"), XptLoss::NumbersAsText, 1),
        ("AE", Some("EXACT"), XptLoss::NumbersAsText, 2),
    ];
    assert_eq!(lost, wanted);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_counts_say_what_is_there_and_what_is_not() {
    let mut counts = Counts::default();
    fixture::participants().iter().for_each(|record| counts.add(record));
    let seen = (counts.participants, counts.restricted_participants, counts.erased, counts.blinded, counts.no_right);
    assert_eq!(seen, (4, 1, 1, 1, 1));
    assert_eq!((counts.not_done, counts.cleared, counts.queries, counts.signatures), (4, 1, 3, 2));
    let values = expected::items(&fixture::design(), &fixture::participants());
    let with_value = values.iter().filter(|item| item["state"].get("value").is_some()).count();
    assert_eq!(counts.values, with_value as u64);
}

#[test]
fn the_same_study_gives_the_same_bytes() {
    let (design, participants) = (fixture::design(), fixture::participants());
    let hash = || {
        let export = fixture::export(&design);
        let options = OdmOptions { version: OdmVersion::V2_0, history: History::Whole, notes: true, metadata: true };
        let mut writer = OdmWriter::begin(Hashed::new(std::io::sink()), &export, options).unwrap();
        participants.iter().for_each(|record| writer.participant(record).unwrap());
        let (hashed, _) = writer.finish().unwrap();
        hashed.finish("a.xml", "application/xml", 4).1
    };
    assert_eq!(hash(), hash());
    assert!(hash().bytes > 10_000);
}
