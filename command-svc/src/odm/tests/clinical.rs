use time::macros::datetime;

use super::super::{Survey, plan, survey};
use super::{CLINICAL, DESIGN, clinical, design, line_of, rows};
use domain::participant::Command;

#[test]
fn participants_with_their_sites_and_audit_records_are_read() {
    let (participants, _) = clinical(CLINICAL).expect("good data");
    let found: Vec<_> = participants
        .iter()
        .map(|one| (one.subject_number.as_str(), one.site.as_deref(), one.values(), one.line))
        .collect();
    let at = |key: &str| line_of(CLINICAL, key);
    assert_eq!(
        found,
        [
            ("B-001", Some("SITE-A"), 17, at("\"B-001\"")),
            ("B-002", None, 0, at("\"B-002\"")),
            ("B-003", Some("SITE-B"), 0, at("\"B-003\"")),
        ]
    );
    let audit = participants[0].audit.as_ref().expect("it has one");
    assert_eq!((audit.user.as_deref(), audit.at), (Some("U.1"), Some(datetime!(2026-03-04 05:06:07 +1))));
    assert_eq!(participants[0].study.as_deref(), Some("ST.1"));
    assert_eq!(participants[0].design_version.as_deref(), Some("V1"));
    assert_eq!(participants[2].audit.as_ref().and_then(|audit| audit.at), None, "yesterday is no time");
}

#[test]
fn a_site_goes_before_a_location_and_a_dash_is_none() {
    let sites = |text: &str| -> Vec<Option<String>> {
        let (participants, _) = clinical(text).expect("good data");
        participants.into_iter().filter(|one| one.subject_number.as_str() != "B-002").map(|one| one.site).collect()
    };
    let site = |oid: &str| Some(oid.to_owned());
    assert_eq!(sites(CLINICAL), [site("SITE-A"), site("SITE-B")]);
    assert_eq!(sites(&CLINICAL.replace("SITE-B", "-")), [site("SITE-A"), site("SITE-Z")]);
    assert_eq!(sites(&CLINICAL.replace("SITE-A", "-")), [None, site("SITE-B")]);
}

#[test]
fn repeat_keys_become_occurrences() {
    let (participants, _) = clinical(CLINICAL).expect("good data");
    let keys: Vec<_> = participants[0]
        .forms
        .iter()
        .map(|form| {
            let groups: Vec<_> = form.items.iter().map(|item| item.group_repeat).collect();
            (form.key.visit.as_str(), form.key.visit_repeat, form.key.form.as_str(), form.key.form_repeat, groups)
        })
        .collect();
    let expected = [
        ("BASE", 1, "PERSON", 1, vec![1, 1, 1]),
        ("BASE", 1, "LUNG", 1, vec![2, 2, 2, 2, 2, 1, 1, 1]),
        ("FOLLOW", 2, "LUNG", 4, vec![1]),
        ("FOLLOW", 2, "LUNG", 3, vec![1]),
        ("FOLLOW", 2, "PERSON", 1, vec![1, 1]),
        ("FOLLOW", 1, "LUNG", 1, vec![1]),
        ("BASE", 2, "PERSON", 1, vec![1]),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn values_are_taken_from_attributes_and_typed_elements() {
    let (participants, _) = clinical(CLINICAL).expect("good data");
    let values = |form: usize| -> Vec<(String, Option<String>)> {
        let items = participants[0].forms[form].items.iter();
        items.map(|item| (item.item.to_string(), item.value.clone().map(String::from))).collect()
    };
    let value = |item: &str, value: &str| (item.to_owned(), Some(value.to_owned()));
    assert_eq!(values(0), [value("SMOKES", "true"), value("PHONE", "tel & fax"), ("HABIT".to_owned(), None)]);
    assert_eq!(values(1)[6], ("FVC".to_owned(), None), "an empty value is none");
    assert_eq!(participants[0].forms[1].items[1].unit.as_deref(), Some("U.ML"));
}

#[test]
fn elements_that_odm_does_not_know_are_counted_without_their_names() {
    let (participants, report) = clinical(&CLINICAL.replace("ItemDataAny", "ItemDataOfMine")).expect("good data");
    assert_eq!(participants[0].values(), 16);
    let line = line_of(CLINICAL, "ItemDataAny");
    let row = format!("{line} note not-kept an unknown element in ItemGroupData -");
    assert!(rows(&report).contains(&row), "{report}");
}

#[test]
fn the_report_says_what_was_not_taken() {
    let (_, report) = clinical(CLINICAL).expect("good data");
    let at = |part: &str| line_of(CLINICAL, part);
    let expected = [
        format!("{} refused bad-oid ItemData -", at("<ItemData Value=")),
        format!("{} note repeat-key-counted StudyEventData FOLLOW", at("week 4")),
        format!("{} note repeat-key-counted FormData LUNG", at("\"second\"")),
        format!("{} refused bad-subject-number SubjectData -", at("not a number")),
        format!("{} warning no-time DateTimeStamp -", at("yesterday")),
        format!("{} note not-kept AdminData in ODM -", at("<AdminData")),
        format!("{} note missing-attribute ItemData -", at("<ItemData Value=")),
        format!("{} note out-of-place AuditRecord -", at("yesterday")),
        format!("{} note out-of-place SiteRef SITE-B", at("yesterday") + 1),
    ];
    assert_eq!(rows(&report), expected);
    let printed = report.to_string();
    assert!(!printed.contains("not a number,") && !printed.contains("week 4"), "no value is printed: {printed}");
}

#[test]
fn values_that_do_not_fit_are_left_out_and_the_rest_is_planned() {
    let (design, _) = design(DESIGN).expect("a good design");
    let (participants, _) = clinical(CLINICAL).expect("good data");
    let plan = plan(&participants[0], &design);
    let saves: Vec<_> = plan
        .steps
        .iter()
        .map(|save| {
            let Command::SaveItems { form, items, .. } = &save.command else { panic!("only saves") };
            assert_eq!(items.len(), save.items.len());
            let items: Vec<_> = items.iter().map(|item| item.item.to_string()).collect();
            (form.visit.to_string(), form.form.to_string(), items.join(" "), save.line)
        })
        .collect();
    let save = |visit: &str, form: &str, items: &str, line: &str| {
        (visit.to_owned(), form.to_owned(), items.to_owned(), line_of(CLINICAL, line))
    };
    let expected = [
        save("BASE", "PERSON", "SMOKES PHONE", "<FormData FormOID=\"PERSON\">"),
        save("BASE", "LUNG", "FEV1 RATIO NOTE FEV1", "<FormData FormOID=\"LUNG\" FormRepeatKey=\"1\""),
        save("FOLLOW", "LUNG", "FVC", "\"second\""),
        save("FOLLOW", "LUNG", "FVC", "FormRepeatKey=\"3\""),
        save("FOLLOW", "LUNG", "FVC", "Value=\"4.4\""),
    ];
    assert_eq!(saves, expected);
    // Whether a value fits is for the platform to say.
    assert_eq!(plan.values(), 9);
    let at = |part: &str| line_of(CLINICAL, part);
    let expected = [
        format!("{} note empty ItemData HABIT", at("IsNull")),
        format!("{} refused item ItemData FVC", at("U.ML")),
        format!("{} refused twice ItemData NOTE", at("far longer")),
        format!("{} note empty ItemData FVC", at("Value=\"\"")),
        format!("{} refused item ItemData UNKNOWN", at("UNKNOWN")),
        format!("{} refused form FormData PERSON", at("Value=\"daily\"")),
        format!("{} refused form FormData PERSON", at("StudyEventOID=\"BASE\" StudyEventRepeatKey=\"2\"")),
    ];
    assert_eq!(rows(&plan.report), expected);
    assert!(plan.report.to_string().contains("its 2 value(s) were left out"), "{}", plan.report);
    for value in ["1e5", "4000", "far longer", "daily"] {
        assert!(!plan.report.to_string().contains(value), "{value} must not be printed");
    }
}

#[test]
fn of_an_item_that_stands_twice_the_last_is_taken() {
    let twice = CLINICAL.replacen("far longer than twelve", "first", 1);
    let (design, _) = design(DESIGN).expect("a good design");
    let (participants, _) = clinical(&twice).expect("good data");
    let plan = plan(&participants[0], &design);
    let Command::SaveItems { items, .. } = &plan.steps[1].command else { panic!("only saves") };
    let notes: Vec<_> = items.iter().filter(|item| item.item.as_str() == "NOTE").collect();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].value.clone().map(String::from).as_deref(), Some("short"));
    let row = format!("{} refused twice ItemData NOTE", line_of(&twice, "\"first\""));
    assert!(rows(&plan.report).contains(&row), "{}", plan.report);
}

#[test]
fn a_survey_counts_what_will_be_read() {
    let found = survey(CLINICAL.as_bytes(), &Default::default()).expect("good data");
    let (participants, report) = clinical(CLINICAL).expect("good data");
    let expected = Survey {
        participants: participants.len() as u64,
        forms: 7,
        values: 17,
        sites: ["SITE-A".to_owned(), "SITE-B".to_owned()].into(),
        designs: [(Some("ST.1".to_owned()), Some("V1".to_owned()))].into(),
        rows: report.counts(),
        broken: found.broken.clone(),
    };
    assert_eq!(found, expected);
}
