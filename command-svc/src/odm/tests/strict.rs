//! What CDISC's schema refuses, a strict reading names by line and element; a lenient one survives it and says so.

use std::path::Path;
use std::process::Command;

use super::super::{Limits, Mode, OdmError, Report, Row, Severity, read_design};
use super::{design, line_of};
use domain::design::StudyDesign;

/// The project's own example.
const GOOD: &str = include_str!("../../../../examples/vital-signs.odm.xml");

fn strict(text: &str) -> Result<(StudyDesign, Report), OdmError> {
    read_design(text.as_bytes(), &Limits::default(), Mode::Strict)
}

/// Where, what and by which rule each fault is.
fn refused(text: &str) -> Vec<(u64, String, &'static str)> {
    let Err(OdmError::Unusable(report)) = strict(text) else { panic!("it is taken") };
    let row = |row: &Row| (row.line.expect("a line"), row.element.clone(), row.rule);
    report.rows.iter().filter(|row| row.severity == Severity::Refused).map(row).collect()
}

/// A fault: what stands there, what is put in its place, and how it is named: the line is that of the last argument.
struct Case(&'static str, String, &'static str, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let case = |good, bad: &str, element, rule, at| Case(good, bad.to_owned(), element, rule, at);
    let text = "<TranslatedText xml:lang=\"en\">Systolic blood pressure</TranslatedText>";
    let code = "<CodeListItem CodedValue=\"SITTING\"><Decode><TranslatedText xml:lang=\"en\">Sitting</TranslatedText></Decode></CodeListItem>";
    vec![
        case("OID=\"POSITIONS\"", "OID=\"POSITION\"", "CodeList", "not-unique", "<CodeList OID"),
        case(code, &format!("{code}\n{code}"), "CodeListItem", "not-unique", "<CodeListItem CodedValue=\"SUPINE\""),
        case(text, &format!("{text}\n{text}"), "TranslatedText", "not-unique", "</Question>"),
        case(
            "OrderNumber=\"2\" Mandatory=\"Yes\"/>\n      </Protocol>",
            "OrderNumber=\"01\" Mandatory=\"Yes\"/>\n      </Protocol>",
            "StudyEventRef",
            "not-unique",
            "StudyEventOID=\"WEEK-4\"",
        ),
        case("2026-11-22T12:00:00Z", "yesterday", "ODM", "bad-attribute", "<ODM"),
        case("Length=\"200\"", "Length=\"0\"", "ItemDef", "bad-attribute", "<ItemDef OID=\"COMMENT\""),
        case(
            "<ItemGroupRef ItemGroupOID=\"VITALS\" Mandatory=\"Yes\"/>",
            "<ItemGroupRef ItemGroupOID=\"VITALS\" Mandatory=\"Yes\"/>\n<ItemGroupRef ItemGroupOID=\"VITALS\" Mandatory=\"No\"/>",
            "ItemGroupRef",
            "not-unique",
            "ItemGroupOID=\"VITALS\" Mandatory=\"No\"",
        ),
        case(
            "Repeating=\"No\" Type=\"Scheduled\"",
            "Type=\"Scheduled\"",
            "StudyEventDef",
            "missing-attribute",
            "<StudyEventDef",
        ),
        case("<ProtocolName>", "<Whatever/><ProtocolName>", "Whatever", "unknown-element", "<Whatever"),
        case("<FormDef OID=\"VS\"", "<FormDef Colour=\"red\" OID=\"VS\"", "FormDef", "unknown-attribute", "<FormDef"),
    ]
}

impl Case {
    fn text(&self) -> String {
        assert!(GOOD.contains(self.0), "{} is not there", self.0);
        GOOD.replace(self.0, &self.1)
    }
}

#[test]
fn the_example_has_no_fault() {
    let (design, report) = strict(GOOD).expect("it is as CDISC demands");
    assert_eq!(report.rows, []);
    assert_eq!(design.faults(), []);
}

#[test]
fn each_fault_is_refused_with_its_line_and_element() {
    for case in cases() {
        let text = case.text();
        let found = refused(&text);
        let wanted = (line_of(&text, case.4), case.2.to_owned(), case.3);
        let line_before = (wanted.0 - 1, wanted.1.clone(), wanted.2);
        assert!(found.contains(&wanted) || found.contains(&line_before), "{}: no {wanted:?} in {found:?}", case.1);
        let taken = design(&text).map(|(_, report)| report).unwrap_or_else(|error| panic!("{}: {error}", case.1));
        assert!(taken.rows.iter().any(|row| row.rule == case.3), "a lenient reading says so too: {}", case.1);
    }
}

/// By a tool that nobody here wrote: each of these files is refused by CDISC's own schema, and the example is not.
#[test]
fn the_schema_refuses_the_same_files() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas/odm132/ODM1-3-2.xsd");
    let python = std::env::var("LETHE_JUDGE_PYTHON").unwrap_or_else(|_| "python3".into());
    let able = Command::new(&python).args(["-c", "import xmlschema"]).output();
    if !schema.exists() || !able.is_ok_and(|said| said.status.success()) {
        println!("skipped: the_schema_refuses_the_same_files (no ../shared/schemas, or no xmlschema)");
        return;
    }
    let folder = std::env::temp_dir().join(format!("lethe-strict-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a scratch folder");
    let texts: Vec<_> = std::iter::once(GOOD.to_owned()).chain(cases().iter().map(Case::text)).collect();
    for (n, text) in texts.iter().enumerate() {
        std::fs::write(folder.join(format!("{n:02}.xml")), text).expect("a scratch file");
    }
    const JUDGE: &str = "import sys, glob, xmlschema\nschema = xmlschema.XMLSchema(sys.argv[1])\n\
                         print(' '.join(str(schema.is_valid(f)) for f in sorted(glob.glob(sys.argv[2] + '/*.xml'))))";
    let said = Command::new(&python).args(["-c", JUDGE]).arg(&schema).arg(&folder).output().expect("it runs");
    std::fs::remove_dir_all(&folder).expect("the scratch folder is there");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let valid: Vec<_> = said.split_whitespace().map(|word| word == "True").collect();
    let wanted: Vec<_> = (0..texts.len()).map(|n| n == 0).collect();
    assert_eq!(valid, wanted, "{said}");
}

#[test]
fn a_reference_to_nothing_is_refused_when_strict_and_left_out_when_lenient() {
    let text = GOOD.replacen("MeasurementUnitOID=\"MMHG\"", "MeasurementUnitOID=\"GONE\"", 1);
    assert_eq!(refused(&text), [(line_of(&text, "\"GONE\""), "MeasurementUnitRef".into(), "dangling")]);
    let (design, report) = design(&text).expect("usable all the same");
    assert_eq!((design.items[0].unit.as_deref(), design.faults()), (None, vec![]));
    assert!(report.to_string().contains("the reference is left out"), "{report}");
}

#[test]
fn nothing_is_lost_in_silence() {
    let text = "<TranslatedText xml:lang=\"en\">Systolic blood pressure</TranslatedText>";
    let other = format!("{text}\n<TranslatedText xml:lang=\"en\">Upper pressure</TranslatedText>");
    let (_, report) = design(&GOOD.replacen(text, &other, 1)).expect("usable all the same");
    assert!(report.rows.iter().any(|row| row.rule == "second-text" && row.severity == Severity::Warning), "{report}");
    let code = "<CodeListItem CodedValue=\"SUPINE\"><Decode><TranslatedText xml:lang=\"en\">Lying</TranslatedText></Decode></CodeListItem>";
    let twice = GOOD.replacen(code, &format!("{code}{}", code.replace("Lying", "On the back")), 1);
    let (design, report) = design(&twice).expect("usable all the same");
    assert_eq!(design.code_lists[0].codes.len(), 2);
    assert!(report.rows.iter().any(|row| row.rule == "second-code" && row.severity == Severity::Warning), "{report}");
}

#[test]
fn what_never_fires_or_is_not_executed_is_a_warning_at_its_line() {
    let check = |comparator: &str, value: &str| {
        format!(
            "<RangeCheck Comparator=\"{comparator}\" SoftHard=\"Hard\">\n<CheckValue>{value}</CheckValue></RangeCheck>\n"
        )
    };
    let end = "<MeasurementUnitRef MeasurementUnitOID=\"MMHG\"/>";
    let text =
        GOOD.replacen(end, &format!("{end}{}{}{}", check("GE", "20"), check("LE", "many"), check("LTT", "9")), 1);
    let (design, report) = design(&text).expect("usable all the same");
    assert_eq!((design.items[0].range_checks.len(), design.faults()), (1, vec![]));
    let found: Vec<_> = report.rows.iter().filter(|row| row.severity == Severity::Warning).collect();
    let first = line_of(&text, "<RangeCheck Comparator=\"LE\"");
    let places: Vec<_> = found.iter().map(|row| (row.line, row.element.as_str(), row.rule)).collect();
    let left_out = |line| (Some(line), "RangeCheck", "range-check-left-out");
    assert_eq!(places, [left_out(first), left_out(first + 2)], "{report}");
    assert!(found.iter().all(|row| row.what.starts_with("a hard check")), "{report}");
}

#[test]
fn a_fault_of_the_design_stands_at_the_line_of_its_definition() {
    let condition = "<ConditionDef OID=\"C.1\" Name=\"C\"><Description><TranslatedText xml:lang=\"en\">When</TranslatedText></Description><FormalExpression Context=\"lethe\">item(\"NONE\") > 1</FormalExpression></ConditionDef>";
    let text = GOOD.replacen("    </MetaDataVersion>", &format!("{condition}\n    </MetaDataVersion>"), 1);
    let found = refused(&text);
    assert_eq!(found, [(line_of(&text, "<ConditionDef"), "ConditionDef".to_owned(), "design")]);
    let good = text.replacen("item(\"NONE\") > 1", "item(\"SYSBP\") > 1", 1);
    let (design, _) = strict(&good).expect("a good condition");
    assert_eq!(design.conditions[0].labels["en"], "When", "what a condition says for people is kept");
}
