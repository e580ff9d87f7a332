//! Clinical data of ODM 2.0, and what we write in either version, read again.

use domain::Moment;
use domain::design::StudyDesign;
use domain::ids::Environment;
use domain::participant::Command;
use exchange::model::{
    FormRecord, GroupRecord, ItemRecord, ItemState, Notes, ParticipantRecord, StudyExport, VisitRecord, VisitState,
};
use exchange::odm::{History, OdmOptions, OdmVersion, OdmWriter};
use serde_json::json;
use time::macros::datetime;

use super::super::plan;
use super::round_trip::VERSIONS;
use super::{clinical, rows};

/// Every level has the same OID, and one form an OID that another would have in a file.
fn shared_oids() -> StudyDesign {
    let item = |oid: &str| json!({"oid": oid, "name": oid, "data_type": "text"});
    serde_json::from_value(json!({
        "name": "Cardio", "version": "1",
        "visits": [{"oid": "AE", "name": "Visit", "repeating": true, "forms": [{"oid": "AE"}, {"oid": "FORM.AE"}]}],
        "forms": [
            {"oid": "AE", "name": "Form", "repeating": true, "item_groups": [{"oid": "AE"}]},
            {"oid": "FORM.AE", "name": "Other form", "item_groups": [{"oid": "AE"}]},
        ],
        "item_groups": [{"oid": "AE", "name": "Group", "repeating": true, "items": [{"oid": "AE"}, {"oid": "NOTE"}]}],
        "items": [item("AE"), item("NOTE")],
    }))
    .expect("a design")
}

fn record(value: &str) -> ParticipantRecord {
    let id = |text: &str| text.parse().expect("valid");
    let item = |oid: &str, value: &str| ItemRecord {
        item: id(oid),
        state: ItemState::Value(value.into()),
        computed: false,
        changes: vec![],
        notes: Notes::default(),
    };
    let group = |repeat, value: &str| GroupRecord {
        group: id("AE"),
        repeat,
        items: vec![item("AE", value), item("NOTE", "x")],
    };
    let form = |oid: &str, repeat, groups| FormRecord { form: id(oid), repeat, groups, notes: Notes::default() };
    let forms =
        vec![form("AE", 2, vec![group(1, value), group(2, "two")]), form("FORM.AE", 1, vec![group(1, "three")])];
    let visit = VisitRecord { visit: id("AE"), repeat: 3, state: VisitState::Unsaid, forms, notes: Notes::default() };
    ParticipantRecord {
        subject_number: "B-001".parse().expect("valid"),
        site: "oslo".parse().expect("valid"),
        restricted: false,
        withdrawn: false,
        registered: None,
        visits: vec![visit],
        notes: Notes::default(),
    }
}

fn exported(design: &StudyDesign, version: OdmVersion, record: &ParticipantRecord) -> String {
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
    let options = OdmOptions { version, history: History::None, notes: true, metadata: true };
    let mut writer = OdmWriter::begin(Vec::new(), &export, options).expect("a vector takes all");
    writer.participant(record).expect("a vector takes all");
    let (bytes, replaced) = writer.finish().expect("a vector takes all");
    assert_eq!(replaced, 0);
    String::from_utf8(bytes).expect("it is written in UTF-8")
}

#[test]
fn what_is_exported_comes_back_to_the_same_places() {
    let design = shared_oids();
    for value in ["one", "  <b> & \"c\"\n\td  "] {
        for version in VERSIONS {
            let (participants, report) = clinical(&exported(&design, version, &record(value))).expect("good data");
            assert_eq!(report.counts().refused, 0, "{report}");
            let [one] = &participants[..] else { panic!("one participant") };
            assert_eq!((one.subject_number.as_str(), one.site.as_deref()), ("B-001", Some("oslo")));
            let plan = plan(one, &design);
            assert_eq!(plan.report.rows, [], "{version:?}");
            let saves: Vec<_> = plan.steps.iter().map(|step| &step.command).collect();
            let places: Vec<_> = saves
                .iter()
                .flat_map(|save| {
                    let Command::SaveItems { form, items, .. } = save else { panic!("only saves") };
                    let (visit, of_form) = (form.visit.as_str(), form.form.as_str());
                    items.iter().map(move |item| {
                        let value = item.value.clone().map(String::from).expect("each has one");
                        let place = (visit, form.visit_repeat, of_form, form.form_repeat, item.group.as_str());
                        (place, item.group_repeat, item.item.as_str(), value)
                    })
                })
                .collect();
            let at = |form: &'static str, repeat: u32| ("AE", 3, form, repeat, "AE");
            let expected = [
                (at("AE", 2), 1, "AE", value.to_owned()),
                (at("AE", 2), 1, "NOTE", "x".to_owned()),
                (at("AE", 2), 2, "AE", "two".to_owned()),
                (at("AE", 2), 2, "NOTE", "x".to_owned()),
                (at("FORM.AE", 1), 1, "AE", "three".to_owned()),
                (at("FORM.AE", 1), 1, "NOTE", "x".to_owned()),
            ];
            assert_eq!(places, expected, "{version:?}");
        }
    }
}

#[test]
fn groups_in_groups_and_items_in_forms_are_read_as_the_design_is() {
    let text = r#"<ODM xmlns="http://www.cdisc.org/ns/odm/v2.0" FileType="Snapshot" FileOID="C" CreationDateTime="2026-01-02T03:04:05Z" ODMVersion="2.0">
<ClinicalData StudyOID="ST.1" MetaDataVersionOID="V1"><SubjectData SubjectKey="B-001"><StudyEventData StudyEventOID="BASE">
<ItemGroupData ItemGroupOID="LUNG" ItemGroupRepeatKey="2">
<ItemData ItemOID="WHO"><Value>me</Value></ItemData>
<ItemGroupData ItemGroupOID="BLOWS" ItemGroupRepeatKey="4"><ItemGroupData ItemGroupOID="INNER"><ItemData ItemOID="FVC"><Value>4.2</Value></ItemData></ItemGroupData></ItemGroupData>
<ItemGroupData ItemGroupOID="BLOWS"><ItemData ItemOID="FEV1" IsNull="Yes"/><ItemData ItemOID="MANY"><Value SeqNum="1">a</Value><Value SeqNum="2">b</Value></ItemData></ItemGroupData>
</ItemGroupData></StudyEventData></SubjectData></ClinicalData></ODM>"#;
    let (participants, report) = clinical(text).expect("good data");
    let form = &participants[0].forms[0];
    assert_eq!((participants[0].forms.len(), form.key.form.as_str(), form.key.form_repeat), (1, "LUNG", 2));
    let found: Vec<_> = form
        .items
        .iter()
        .map(|item| (item.group.as_str(), item.group_repeat, item.item.as_str(), item.value.clone().map(String::from)))
        .collect();
    let some = |text: &str| Some(text.to_owned());
    let expected = [("LUNG", 1, "WHO", some("me")), ("INNER", 1, "FVC", some("4.2")), ("BLOWS", 1, "FEV1", None)];
    assert_eq!(found, expected);
    assert_eq!(rows(&report), ["6 refused several-values ItemData MANY"]);
}
