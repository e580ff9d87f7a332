//! A design that is written and read again is the same design, to the hash: in both versions of ODM, and both files are
//! as ODM demands.

use std::path::Path;

use domain::design::{
    CheckDef, Code, CodeListDef, DataType, Expression, ExpressionDef, FormDef, ItemDef, ItemGroupDef, Labels,
    RangeCheck, Ref, SdvPlan, StudyDesign, VisitDef, Window,
};
use domain::ids::Oid;
use domain::scope::Scope;
use exchange::odm::OdmVersion;
use exchange::odm::metadata::metadata_file;
use time::macros::datetime;

use super::super::{Limits, Mode, Report, Severity, read_design};

pub(super) const VERSIONS: [OdmVersion; 2] = [OdmVersion::V1_3_2, OdmVersion::V2_0];

fn oid(text: &str) -> Oid {
    text.parse().expect("valid")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(language, text)| ((*language).to_owned(), (*text).to_owned())).collect()
}

fn to(text: &str) -> Ref {
    Ref { oid: oid(text), mandatory: false, skip_condition: None, method: None }
}

fn item(text: &str, data_type: DataType) -> ItemDef {
    ItemDef {
        oid: oid(text),
        name: format!("Name of {text}"),
        labels: labels(&[("en", "A question"), ("nb-NO", "Et spørsmål"), ("", "?")]),
        data_type,
        length: None,
        code_list: None,
        unit: None,
        scope: None,
        identifier: false,
        blinded: false,
        critical: false,
        sdv: false,
        range_checks: vec![],
    }
}

fn range(comparator: Option<&str>, values: &[&str]) -> RangeCheck {
    RangeCheck {
        comparator: comparator.map(str::to_owned),
        hard: false,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        unit: None,
        message: labels(&[("en", "Look again"), ("de", "Bitte prüfen")]),
        expressions: vec![],
    }
}

/// A design that uses everything a design can say, and what ODM has no words for.
pub(super) fn rich() -> StudyDesign {
    let kinds = [
        ("TEXT", DataType::Text),
        ("WHOLE", DataType::Integer),
        ("DECIMAL", DataType::Decimal),
        ("DAY", DataType::Date),
        ("ABOUT", DataType::PartialDate),
        ("CLOCK", DataType::Time),
        ("MOMENT", DataType::DateTime),
        ("YES", DataType::Boolean),
        ("SCAN", DataType::File),
        ("CODED", DataType::Text),
        // The same OID as a visit, a form and an item group.
        ("SAME", DataType::Integer),
    ];
    let mut items: Vec<_> = kinds.iter().map(|(text, kind)| item(text, *kind)).collect();
    (items[0].scope, items[0].identifier, items[0].length) = (Some(Scope::IdentityContact), true, Some(80));
    (items[1].critical, items[1].sdv, items[1].unit) = (true, true, Some("U.MMHG".into()));
    let unit_of_check = RangeCheck { unit: Some("U.KPA".into()), hard: true, ..range(Some("LE"), &["30"]) };
    let expression = Expression { context: "XPath".into(), text: "../V < 3 & \"x\"".into() };
    let by_expression = RangeCheck { expressions: vec![expression.clone()], ..range(None, &[]) };
    let both = RangeCheck { expressions: vec![expression.clone()], ..range(Some("NE"), &["0"]) };
    items[1].range_checks = vec![range(Some("GE"), &["20"]), range(Some("IN"), &["20", "21"]), unit_of_check];
    items[2].range_checks = vec![by_expression, both, range(Some("NOTIN"), &["1", "2"])];
    items[7].blinded = true;
    (items[3].length, items[4].name) = (Some(10), String::new());
    items[5].labels = labels(&[("en", "  blanks around  "), ("de", ""), ("not a language", "said all the same")]);
    items[6].labels = Labels::new();
    items[9].code_list = Some("YN".into());
    items[9].scope = Some(Scope::HealthOptional);

    let visit = |text: &str, forms| VisitDef {
        oid: oid(text),
        name: format!("Visit {text}"),
        labels: labels(&[("en", "A visit"), ("de", "Ein Besuch")]),
        repeating: false,
        optional: false,
        window: None,
        forms,
    };
    let skipped = Ref { mandatory: true, skip_condition: Some("C1".into()), method: Some("M1".into()), ..to("FORM") };
    let later = Window { after: Some(oid("V2")), days: -3, early: 1, late: 7 };
    let follow_up = VisitDef { repeating: true, window: Some(later), ..visit("SAME", vec![to("SAME")]) };
    let all: Vec<_> = items.iter().map(|item| Ref { mandatory: true, ..to(item.oid.as_str()) }).collect();
    let computed = Ref { method: Some("M1".into()), skip_condition: Some("C1".into()), ..to("WHOLE") };
    let form = |text: &str, item_groups| FormDef {
        oid: oid(text),
        name: format!("Form {text}"),
        labels: labels(&[("fr", "Une fiche")]),
        repeating: false,
        sdv: SdvPlan::None,
        signature: false,
        item_groups,
    };
    let group = |text: &str, items| ItemGroupDef {
        oid: oid(text),
        name: String::new(),
        labels: Labels::new(),
        repeating: false,
        items,
    };
    let code = |value: &str, pairs: &[(&str, &str)]| Code { value: value.into(), labels: labels(pairs) };
    let list = |oid: &str, codes| CodeListDef { oid: oid.into(), name: format!("List {oid}"), codes };
    StudyDesign {
        name: "Breath & \"Sleep\"".into(),
        version: "2026-11".into(),
        visits: vec![
            VisitDef { window: Some(Window { after: None, days: 0, early: 0, late: 0 }), ..visit("V2", vec![skipped]) },
            follow_up,
            VisitDef { optional: true, ..visit("A", vec![]) },
        ],
        forms: vec![
            FormDef { sdv: SdvPlan::Part, signature: true, ..form("FORM", vec![to("ALL"), to("SAME")]) },
            FormDef { sdv: SdvPlan::All, repeating: true, ..form("SAME", vec![to("SAME")]) },
        ],
        item_groups: vec![group("ALL", all), ItemGroupDef { repeating: true, ..group("SAME", vec![computed]) }],
        items,
        code_lists: vec![
            list("YN", vec![code("Y", &[("en", "Yes"), ("nb", "Ja")]), code("N", &[]), code("?", &[("en", " ")])]),
            list("BARE", vec![code("1", &[]), code("2", &[])]),
            list("NONE", vec![]),
            list("SAME", vec![code("x", &[("", "An x")])]),
        ],
        units: [
            ("U.KPA".to_owned(), labels(&[("en", "kPa")])),
            ("U.MMHG".to_owned(), labels(&[("en", "mmHg"), ("", "mm Hg")])),
            ("U.NONE".to_owned(), Labels::new()),
        ]
        .into(),
        conditions: vec![ExpressionDef {
            oid: "C1".into(),
            name: "Not now".into(),
            labels: labels(&[("en", "When it does not apply"), ("de", "Wenn es nicht zutrifft")]),
            expressions: vec![expression.clone()],
        }],
        methods: vec![
            ExpressionDef {
                oid: "M1".into(),
                name: String::new(),
                labels: Labels::new(),
                expressions: vec![
                    Expression { context: "lethe".into(), text: "1 + 1".into() },
                    Expression { context: String::new(), text: " blanks ".into() },
                ],
            },
            ExpressionDef { oid: "SAME".into(), name: "Of none".into(), labels: Labels::new(), expressions: vec![] },
        ],
        checks: vec![CheckDef {
            oid: "CHK.1".parse().expect("valid"),
            name: "Pressure".into(),
            form: oid("FORM"),
            group: oid("ALL"),
            item: oid("WHOLE"),
            hard: true,
            expression: "item(\"WHOLE\") > 20".into(),
            message: labels(&[("en", "Too low")]),
        }],
    }
}

pub(super) fn written(design: &StudyDesign, version: OdmVersion) -> Vec<u8> {
    metadata_file("ST.1", design, version, datetime!(2026-11-22 12:00 UTC)).expect("it is written to memory")
}

fn read(bytes: &[u8], mode: Mode) -> (StudyDesign, Report) {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    read_design(bytes, &Limits::default(), mode).unwrap_or_else(|error| match error {
        super::super::OdmError::Unusable(report) => panic!("{report}\n{}", text()),
        other => panic!("{other}\n{}", text()),
    })
}

#[track_caller]
fn comes_back(design: &StudyDesign) {
    for version in VERSIONS {
        let (again, report) = read(&written(design, version), Mode::Strict);
        let changes = design.difference(&again).changes;
        assert_eq!(changes, [], "{version:?}");
        assert_eq!(again, *design, "{version:?}");
        assert_eq!(again.hash(), design.hash(), "{version:?}");
        let unexpected =
            |row: &&super::super::Row| row.severity != Severity::Note && row.rule != "range-check-not-executed";
        let bad: Vec<_> = report.rows.iter().filter(unexpected).collect();
        assert_eq!(bad, Vec::<&super::super::Row>::new(), "{version:?}");
    }
}

#[test]
fn a_design_that_says_everything_comes_back_with_the_same_hash() {
    comes_back(&rich());
}

#[test]
fn an_empty_name_comes_back() {
    comes_back(&StudyDesign { name: String::new(), ..rich() });
}

#[test]
fn the_designs_of_other_systems_come_back_with_the_same_hash() {
    for name in ["odm132_study_ces_metadata.xml", "odm132_openedc_metadata.xml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
        let Ok(bytes) = std::fs::read(path) else {
            println!(
                "skipped: the_designs_of_other_systems_come_back_with_the_same_hash (there is no ../shared/data/{name})"
            );
            continue;
        };
        comes_back(&read(&bytes, Mode::Lenient).0);
    }
}

/// By a tool that nobody here wrote.
#[test]
fn what_is_written_is_valid_against_the_schemas() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas");
    // A Python that has `xmlschema` and `odmlib`.
    let python = std::env::var("LETHE_JUDGE_PYTHON").unwrap_or_else(|_| "python3".into());
    let able = std::process::Command::new(&python).args(["-c", "import xmlschema, odmlib"]).output();
    if !schemas.is_dir() || !able.is_ok_and(|said| said.status.success()) {
        println!(
            "skipped: what_is_written_is_valid_against_the_schemas (no ../shared/schemas, or no xmlschema and odmlib)"
        );
        return;
    }
    for (version, schema) in VERSIONS.into_iter().zip(["odm132/ODM1-3-2.xsd", "odm20/ODM.xsd"]) {
        let file = std::env::temp_dir().join(format!("lethe-odm-{}-{}.xml", std::process::id(), version.as_str()));
        std::fs::write(&file, written(&rich(), version)).expect("a scratch file");
        let mut judge = std::process::Command::new(&python);
        let said = judge.args(["-c", JUDGE]).arg(schemas.join(schema)).arg(&file).output().expect("it runs");
        std::fs::remove_file(&file).expect("the scratch file is there");
        assert!(said.status.success(), "{version:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

/// The schema, and for 1.3.2 another reader of ODM, which has to find every item.
const JUDGE: &str = r#"
import sys, xmlschema
xmlschema.validate(sys.argv[2], sys.argv[1])
if "odm132" in sys.argv[1]:
    import odmlib.odm_loader as OL, odmlib.loader as LO
    loader = LO.ODMLoader(OL.XMLODMLoader(model_package="odm_1_3_2"))
    loader.open_odm_document(sys.argv[2])
    found = loader.load_odm().Study[0].MetaDataVersion[0]
    assert len(found.ItemDef) == 11 and len(found.StudyEventDef) == 3, "odmlib finds other definitions"
"#;

#[test]
fn a_strict_reading_names_line_and_element_of_every_fault() {
    let good = String::from_utf8(written(&rich(), OdmVersion::V1_3_2)).expect("UTF-8");
    let bad = good.replacen(" Repeating=\"No\"", "", 1).replacen("<ProtocolName>", "<Whatever/><ProtocolName>", 1);
    let refused = read_design(bad.as_bytes(), &Limits::default(), Mode::Strict).expect_err("it has faults");
    let super::super::OdmError::Unusable(report) = refused else { panic!("{refused}") };
    let rules: Vec<_> = report.rows.iter().map(|row| (row.rule, row.line.is_some(), row.severity)).collect();
    let found = |rule| (rule, true, Severity::Refused);
    assert_eq!(rules, [found("no-place"), found("unknown-element"), found("missing-attribute")]);
    let (design, report) = read(bad.as_bytes(), Mode::Lenient);
    assert_eq!(design.hash(), rich().hash(), "a lenient reading survives them");
    assert!(
        ["no-place", "unknown-element", "missing-attribute"].iter().all(|rule| report.by_rule().contains_key(rule))
    );
}

#[test]
fn forms_of_odm_2_are_made_of_nested_groups() {
    let text = r#"<ODM xmlns="http://www.cdisc.org/ns/odm/v2.0" FileType="Snapshot" FileOID="F" ODMVersion="2.0"
  CreationDateTime="2026-01-02T03:04:05Z"><Study OID="S" StudyName="Nested" ProtocolName="N"><MetaDataVersion OID="1" Name="1">
  <Protocol><StudyEventGroupRef StudyEventGroupOID="SEG" Mandatory="Yes"/></Protocol>
  <StudyEventGroupDef OID="SEG" Name="All"><StudyEventRef StudyEventOID="V2" OrderNumber="2" Mandatory="Yes"/>
   <StudyEventRef StudyEventOID="V1" OrderNumber="1" Mandatory="Yes"/></StudyEventGroupDef>
  <StudyEventDef OID="V2" Name="Two" Repeating="No" Type="Scheduled"><ItemGroupRef ItemGroupOID="F1" Mandatory="Yes"/></StudyEventDef>
  <StudyEventDef OID="V1" Name="One" Repeating="No" Type="Scheduled"><ItemGroupRef ItemGroupOID="F1" Mandatory="Yes"/></StudyEventDef>
  <ItemGroupDef OID="F1" Name="Form" Repeating="No" Type="Form"><ItemRef ItemOID="A" Mandatory="Yes"/><ItemGroupRef ItemGroupOID="OUTER" Mandatory="No"/></ItemGroupDef>
  <ItemGroupDef OID="OUTER" Name="Outer" Repeating="No" Type="Section"><ItemGroupRef ItemGroupOID="INNER" Mandatory="Yes"/></ItemGroupDef>
  <ItemGroupDef OID="INNER" Name="Inner" Repeating="Dynamic" Type="Section"><ItemRef ItemOID="B" Mandatory="No"/></ItemGroupDef>
  <ItemDef OID="A" Name="A" DataType="integer"/><ItemDef OID="B" Name="B" DataType="decimal"/>
  </MetaDataVersion></Study></ODM>"#;
    let (design, report) = read(text.as_bytes(), Mode::Strict);
    let visits: Vec<_> = design.visits.iter().map(|visit| visit.oid.as_str()).collect();
    assert_eq!(visits, ["V1", "V2"]);
    let groups: Vec<_> = design.forms[0].item_groups.iter().map(|group| group.oid.as_str()).collect();
    assert_eq!((design.forms.len(), groups), (1, vec!["F1", "INNER"]));
    assert!(design.item_group(&oid("INNER")).is_some_and(|group| group.repeating));
    assert_eq!(design.faults(), []);
    assert_eq!(report.rows.iter().filter(|row| row.severity == Severity::Warning).count(), 2, "{report}");
}
