use domain::design::{DataType, Labels};
use domain::scope::Scope;

use super::super::OdmError;
use super::{DESIGN, design, line_of, rows};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(language, text)| ((*language).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn names_units_and_the_last_version_are_read() {
    let (design, _) = design(DESIGN).expect("a good design");
    assert_eq!((design.name.as_str(), design.version.as_str()), ("Breath & Sleep", "V1"));
    assert_eq!(design.units["U.L"], labels(&[("en", "L")]));
    assert_eq!(design.units["U.ML"], labels(&[("", "millilitre")]), "without a symbol the name will do");
    assert_eq!(design.faults(), []);
}

#[test]
fn visits_forms_and_items_stand_in_the_order_that_the_design_numbers() {
    let (design, _) = design(DESIGN).expect("a good design");
    let visits: Vec<_> = design.visits.iter().map(|visit| visit.oid.as_str()).collect();
    assert_eq!(visits, ["BASE", "FOLLOW", "EXTRA"]);
    let forms: Vec<_> = design.visits[0].forms.iter().map(|form| (form.oid.as_str(), form.mandatory)).collect();
    assert_eq!(forms, [("PERSON", true), ("LUNG", false)]);
    let about: Vec<_> = design.item_groups[1].items.iter().map(|item| item.oid.as_str()).collect();
    assert_eq!(about, ["SMOKES", "DRUG", "PHONE", "HABIT", "SCAN", "SINCE", "SEEN"]);
    let codes: Vec<_> = design.code_lists[0].codes.iter().map(|code| code.value.as_str()).collect();
    assert_eq!(codes, ["daily", "never"]);
    assert!(!design.visits[0].repeating && design.visits[1].repeating);
}

#[test]
fn labels_are_read_in_all_languages() {
    let (design, _) = design(DESIGN).expect("a good design");
    let visit = labels(&[("", "No language"), ("de", "Erstbesuch"), ("en", "Baseline visit")]);
    assert_eq!(design.visits[0].labels, visit);
    let question = &design.items[0].labels;
    assert_eq!(question["fr"], "Volume <1 s");
    assert!(question["en"].starts_with("Volume in the") && question["en"].ends_with("first second"));
    assert_eq!(design.code_lists[0].codes[0].labels, labels(&[("en", "Every day")]));
}

#[test]
fn data_types_lengths_units_and_scopes_are_mapped() {
    let (design, _) = design(DESIGN).expect("a good design");
    let item = |oid: &str| design.items.iter().find(|item| item.oid.as_str() == oid).expect("defined");
    let cases = [
        ("FEV1", DataType::Decimal, Some(6), Some("U.L"), Scope::HealthClinical),
        ("FVC", DataType::Decimal, None, Some("U.L"), Scope::HealthClinical),
        ("RATIO", DataType::Decimal, None, None, Scope::HealthClinical),
        ("NOTE", DataType::Text, Some(12), None, Scope::HealthFreeText),
        ("SMOKES", DataType::Boolean, None, None, Scope::HealthClinical),
        ("PHONE", DataType::Text, None, None, Scope::IdentityContact),
        ("DRUG", DataType::Text, None, None, Scope::HealthClinical),
        ("HABIT", DataType::Text, None, None, Scope::HealthClinical),
        ("SCAN", DataType::File, None, None, Scope::HealthClinical),
        ("SINCE", DataType::PartialDate, None, None, Scope::HealthClinical),
        ("SEEN", DataType::DateTime, None, None, Scope::HealthClinical),
    ];
    for (oid, data_type, length, unit, scope) in cases {
        let item = item(oid);
        let found = (item.data_type, item.length, item.unit.as_deref(), design.scope_of(item));
        assert_eq!(found, (data_type, length, unit, scope), "{oid}");
    }
    assert_eq!(item("DRUG").code_list, None, "nothing here knows its codes");
    assert_eq!(item("HABIT").code_list.as_deref(), Some("L.HABIT"));
}

#[test]
fn checks_conditions_and_methods_are_kept_as_they_stand() {
    let (design, _) = design(DESIGN).expect("a good design");
    let [soft, hard] = design.items[0].range_checks.as_slice() else { panic!("two checks") };
    assert_eq!(
        (soft.comparator.as_deref(), soft.hard, soft.values.as_slice()),
        (Some("LE"), false, &["9000".to_owned()][..])
    );
    assert_eq!((soft.unit.as_deref(), &soft.message), (Some("U.ML"), &labels(&[("en", "Above nine litres")])));
    assert!(hard.hard && hard.comparator.is_none());
    assert_eq!(hard.expressions[0].text, "FEV1 <= FVC && FVC > 0");
    assert_eq!((design.conditions[0].oid.as_str(), design.methods[0].oid.as_str()), ("C.SKIP", "M.RATIO"));
    let expression = &design.conditions[0].expressions[0];
    assert_eq!((expression.context.as_str(), expression.text.as_str()), ("XPath", "../a[@b > 1]"));
    assert_eq!(design.visits[0].forms[0].skip_condition.as_deref(), Some("C.SKIP"));
    assert_eq!(design.item_groups[0].items[2].method.as_deref(), Some("M.RATIO"));
}

#[test]
fn the_report_says_what_was_read_otherwise() {
    let (_, report) = design(DESIGN).expect("a good design");
    let at = |part: &str| line_of(DESIGN, part);
    let found = rows(&report);
    let expected = [
        (at("OID=\"V0\""), "warning other-version MetaDataVersion V0"),
        (at("OID=\"V1\""), "note not-in-protocol StudyEventDef EXTRA"),
        (at("<RangeCheck Comparator=\"LE\""), "warning range-check-not-executed RangeCheck FEV1"),
        (at("SignificantDigits"), "note not-kept SignificantDigits in ItemDef -"),
        (at("FEV1 <= FVC"), "note expression-not-executed ItemDef FEV1"),
        (at("<ItemDef OID=\"FVC\""), "warning several-units ItemDef FVC"),
        (at("Context=\"SDTM\""), "note not-kept Alias in ItemDef -"),
        (at("DataType=\"URI\""), "warning length ItemDef SCAN"),
        (at("DataType=\"partialDatetime\""), "warning partial ItemDef SEEN"),
        (at("<CodeList OID=\"L.DRUG\""), "warning external-code-list CodeList L.DRUG"),
        (at("<Presentation"), "note not-kept Presentation in MetaDataVersion -"),
        (at("Context=\"XPath\""), "note expression-not-executed ConditionDef C.SKIP"),
        (at("<MethodDef"), "note expression-not-executed MethodDef M.RATIO"),
        (at("<Symbol/>"), "note missing-element Symbol -"),
        (at("<ItemDef OID=\"RATIO\""), "note bad-attribute ItemDef RATIO"),
        (at("CodedValue=\"daily\""), "note mixed CodeListItem -"),
    ];
    for (line, row) in &expected {
        assert!(found.contains(&format!("{line} {row}")), "{line} {row} is missing in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn faults_of_a_design_are_told_all_at_once_with_their_lines() {
    let cases = [
        ("<ItemDef OID=\"NOTE\"", "<ItemDef OID=\"A B\"", "bad-oid ItemDef -"),
        ("ItemRef ItemOID=\"NOTE\"", "ItemRef ItemOID=\"a/b\"", "bad-oid ItemRef -"),
        ("<ItemDef OID=\"NOTE\"", "<ItemDef", "no-oid ItemDef -"),
        ("<ItemDef OID=\"RATIO\"", "<ItemDef OID=\"FVC\"", "twice ItemDef FVC"),
        ("FormRef FormOID=\"PERSON\"", "FormRef FormOID=\"GONE\"", "dangling FormRef GONE"),
        ("CodeListRef CodeListOID=\"L.HABIT\"", "CodeListRef CodeListOID=\"L.X\"", "dangling CodeListRef L.X"),
        ("Name=\"identity.contact\"", "Name=\"user.profile\"", "bad-scope ItemDef -"),
        ("StudyEventRef StudyEventOID=\"BASE\"", "StudyEventRef StudyEventOID=\"B\"", "dangling StudyEventRef B"),
    ];
    for (good, bad, row) in cases {
        let line = line_of(DESIGN, good);
        match design(&DESIGN.replacen(good, bad, 1)) {
            Err(OdmError::Unusable(report)) => {
                let found = rows(&report);
                let wanted = format!("{line} refused {row}");
                assert!(found.contains(&wanted), "{bad}: no {wanted} in {found:#?}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    let two =
        DESIGN.replacen("FormOID=\"PERSON\"", "FormOID=\"GONE\"", 1).replacen("<ItemDef OID=\"NOTE\"", "<ItemDef", 1);
    let Err(error @ OdmError::Unusable(_)) = design(&two) else { panic!("two faults") };
    assert!(error.to_string().starts_with("the design cannot be used, 3 fault(s); the first: line "), "{error}");
}

#[test]
fn what_is_not_executed_may_be_missing() {
    for missing in ["CollectionExceptionConditionOID=\"C.", "MethodOID=\"M."] {
        let text = DESIGN.replacen(missing, &format!("{missing}X"), 1);
        let (_, report) = design(&text).expect("usable all the same");
        assert!(rows(&report).iter().any(|row| row.contains("warning dangling")), "{missing}");
    }
}

#[test]
fn what_is_referred_to_twice_is_taken_once() {
    let again = "<ItemRef ItemOID=\"FEV1\" Mandatory=\"No\"/>\n<ItemRef ItemOID=\"FVC\"";
    let text = DESIGN.replacen("<ItemRef ItemOID=\"FVC\"", again, 1);
    let (design, report) = design(&text).expect("usable all the same");
    assert_eq!(design.item_groups[0].items.len(), 4);
    assert!(design.item_groups[0].items[0].mandatory, "the first one holds");
    let row = format!("{} warning twice ItemRef FEV1", line_of(&text, again));
    assert!(rows(&report).contains(&row), "{report}");
}

#[test]
fn a_design_without_visits_is_refused() {
    let empty = r#"<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ODMVersion="1.3"><Study OID="S"><MetaDataVersion OID="V" Name="v"/></Study></ODM>"#;
    let Err(OdmError::Unusable(report)) = design(empty) else { panic!("no visit") };
    assert!(report.to_string().contains("at least one visit"), "{report}");
}
