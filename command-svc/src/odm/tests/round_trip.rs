//! A design that is written and read again is the same design, to the hash: in both versions of ODM, and both files are
//! as ODM demands.

use std::path::Path;

use domain::design::{
    CheckDef, Code, CodeListDef, DataType, Expression, ExpressionDef, FormDef, ItemDef, ItemGroupDef, Labels, RangeCheck,
    Ref, SdvPlan, StudyDesign, VisitDef, Window,
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
    items[2].range_checks = vec![by_expression, both, range(None, &[]), range(Some("BETWEEN"), &["1", " 2 "])];
    items[2].blinded = true;
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
            visit("A", vec![]),
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
        conditions: vec![ExpressionDef { oid: "C1".into(), name: "Not now".into(), expressions: vec![expression.clone()] }],
        methods: vec![
            ExpressionDef {
                oid: "M1".into(),
                name: String::new(),
                expressions: vec![
                    Expression { context: "lethe".into(), text: "1 + 1".into() },
                    Expression { context: String::new(), text: " blanks ".into() },
                ],
            },
            ExpressionDef { oid: "SAME".into(), name: "Of none".into(), expressions: vec![] },
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
        let bad: Vec<_> = report.rows.iter().filter(|row| row.severity != Severity::Note).collect();
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
            println!("skipped: the_designs_of_other_systems_come_back_with_the_same_hash (there is no ../shared/data/{name})");
            continue;
        };
        comes_back(&read(&bytes, Mode::Lenient).0);
    }
}
