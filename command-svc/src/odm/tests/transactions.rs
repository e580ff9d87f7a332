//! What each `TransactionType` becomes, and what else than values comes back.

use domain::participant::{Command, Expect, NotDone};
use time::macros::datetime;

use super::super::{Transaction, plan};
use super::{clinical, design, rows};

/// A form of the fixture's design with these elements in it.
fn file(subject: &str, inner: &str) -> String {
    format!(
        r#"<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" FileType="Transactional" FileOID="C" CreationDateTime="2026-01-02T03:04:05Z" ODMVersion="1.3.2">
<ClinicalData StudyOID="ST.1" MetaDataVersionOID="V1">
<SubjectData SubjectKey="B-001"{subject}>{inner}</SubjectData></ClinicalData></ODM>"#
    )
}

fn on_form(attributes: &str, items: &str) -> String {
    format!(
        r#"<StudyEventData StudyEventOID="BASE" TransactionType="Context"><FormData FormOID="LUNG" FormRepeatKey="1"{attributes}>
<ItemGroupData ItemGroupOID="BLOWS" ItemGroupRepeatKey="2">{items}</ItemGroupData></FormData></StudyEventData>"#
    )
}

/// What is sent: each item with what is expected, its value, why not, the reason; and when it was captured.
fn sent(text: &str) -> (Vec<String>, Vec<String>) {
    let design = design(super::DESIGN).expect("a good design").0;
    let (participants, report) = clinical(text).expect("good data");
    let plan = plan(&participants[0], &design);
    let step = |step: super::super::Step| match step.command {
        Command::SaveItems { items, .. } => {
            let item = |item: domain::participant::ItemToSave| {
                let expect = item.expect.map_or("-", |e| if e == Expect::Nothing { "new" } else { "there" });
                let value = item.value.map_or_else(|| format!("{:?}", item.not_done), String::from);
                format!("{} {expect} {value} {}", item.item, item.reason.map_or_else(|| "-".into(), |r| r.0))
            };
            let items: Vec<_> = items.into_iter().map(item).collect();
            format!("{} @{}", items.join(", "), step.captured_at.map_or(0, time::OffsetDateTime::unix_timestamp))
        }
        other => domain::decider::Command::name(&other).to_owned(),
    };
    let mut said = rows(&report);
    said.extend(rows(&plan.report));
    (plan.steps.into_iter().map(step).collect(), said)
}

#[test]
fn each_type_says_what_must_be_there() {
    let one = |kind: &str| {
        let kind = if kind.is_empty() { String::new() } else { format!(" TransactionType=\"{kind}\"") };
        sent(&file("", &on_form("", &format!("<ItemData ItemOID=\"FEV1\" Value=\"3.1\"{kind}/>"))))
    };
    let cases = [
        ("Insert", "FEV1 new 3.1 - @0"),
        ("Update", "FEV1 there 3.1 - @0"),
        ("Upsert", "FEV1 - 3.1 - @0"),
        ("", "FEV1 - 3.1 - @0"),
        ("Remove", "FEV1 there None - @0"),
    ];
    for (kind, wanted) in cases {
        assert_eq!(one(kind), (vec![wanted.to_owned()], vec![]), "{kind}");
    }
    assert_eq!(one("Context"), (vec![], vec!["4 note context ItemData FEV1".to_owned()]));
    let (steps, said) = one("Replace");
    assert_eq!((steps, said[0].as_str()), (vec![], "4 refused transaction ItemData FEV1"));
}

#[test]
fn a_type_holds_for_what_stands_within() {
    let item = "<ItemData ItemOID=\"FEV1\" Value=\"3.1\"/>";
    let (steps, _) = sent(&file(" TransactionType=\"Context\"", &on_form(" TransactionType=\"Update\"", item)));
    assert_eq!(steps, ["FEV1 there 3.1 - @0"]);
    let (steps, _) = sent(&file(" TransactionType=\"Insert\"", &on_form("", item)));
    assert_eq!(steps, ["FEV1 - 3.1 - @0"], "what says only where the others are begins anew");
    let (participants, _) = clinical(&file(" TransactionType=\"Update\"", "")).expect("good data");
    assert_eq!(participants[0].transaction, Transaction::Update);
}

#[test]
fn what_cannot_be_removed_says_why() {
    let (steps, said) = sent(&file("", &on_form(" TransactionType=\"Remove\"", "<ItemData ItemOID=\"FEV1\"/>")));
    assert_eq!((steps, said), (vec!["remove-form".to_owned()], vec![]), "what stands in it says no more");
    let visit = r#"<StudyEventData StudyEventOID="BASE" TransactionType="Remove"/>"#;
    let (_, said) = sent(&file("", visit));
    assert_eq!(said, ["3 refused transaction StudyEventData BASE"]);
    let group = on_form("", "").replace("RepeatKey=\"2\"", "RepeatKey=\"2\" TransactionType=\"Remove\"");
    assert_eq!(sent(&file("", &group)).1, ["4 refused transaction ItemGroupData BLOWS"]);
    let (participants, report) = clinical(&file(" TransactionType=\"Remove\"", "")).expect("good data");
    assert_eq!((participants.len(), rows(&report)), (0, vec!["3 refused transaction SubjectData -".to_owned()]));
}

#[test]
fn changes_of_one_item_follow_each_other_with_their_times_and_reasons() {
    let change = |kind: &str, value: &str, minute: u32| {
        format!(
            r#"<ItemData ItemOID="FEV1" TransactionType="{kind}" {value}><AuditRecord><UserRef UserOID="U"/><LocationRef LocationOID="L"/>
<DateTimeStamp>2026-03-04T05:0{minute}:00Z</DateTimeStamp><ReasonForChange>why {minute}</ReasonForChange></AuditRecord></ItemData>"#
        )
    };
    let items = [
        change("Insert", "Value=\"3.1\"", 1),
        change("Update", "Value=\"3.2\"", 2),
        "<ItemData ItemOID=\"NOTE\" TransactionType=\"Insert\" Value=\"x\"/>".into(),
        change("Remove", "", 3),
    ];
    let (steps, said) = sent(&file("", &on_form("", &items.concat())));
    let at = |minute: u8| datetime!(2026-03-04 05:00 UTC).unix_timestamp() + i64::from(minute) * 60;
    let wanted = [
        "NOTE new x - @0".to_owned(),
        format!("FEV1 new 3.1 why 1 @{}", at(1)),
        format!("FEV1 there 3.2 why 2 @{}", at(2)),
        format!("FEV1 there None why 3 @{}", at(3)),
    ];
    assert_eq!((steps, said), (wanted.to_vec(), vec![]));
}

#[test]
fn the_time_captured_goes_before_the_time_stored() {
    let audit = r#"<AuditRecord><UserRef UserOID="U"/><LocationRef LocationOID="L"/><DateTimeStamp>2026-03-04T05:00:00Z</DateTimeStamp>
<SourceID>role=investigator captured=2026-03-01T00:00:00Z</SourceID></AuditRecord>"#;
    let (steps, _) =
        sent(&file("", &on_form("", &format!("<ItemData ItemOID=\"FEV1\" Value=\"1\">{audit}</ItemData>"))));
    assert_eq!(steps, [format!("FEV1 - 1 - @{}", datetime!(2026-03-01 0:00 UTC).unix_timestamp())]);
}

#[test]
fn what_our_annotations_say_is_read_and_others_are_remarks() {
    let flag = |list: &str, code: &str, comment: &str| {
        format!(
            r#"<Annotation SeqNum="1">{comment}<Flag><FlagValue CodeListOID="LETHE.{list}">{code}</FlagValue><FlagType CodeListOID="LETHE.FLAG">{list}</FlagType></Flag></Annotation>"#
        )
    };
    let missing =
        |code: &str| format!("<ItemData ItemOID=\"FEV1\" IsNull=\"Yes\">{}</ItemData>", flag("MISSING", code, ""));
    for (code, wanted) in [("UNKNOWN", NotDone::Unknown), ("REFUSED", NotDone::Refused)] {
        let (steps, said) = sent(&file("", &on_form("", &missing(code))));
        assert_eq!((steps, said), (vec![format!("FEV1 - {:?} - @0", Some(wanted))], vec![]));
    }
    let (steps, said) = sent(&file("", &on_form("", &missing("ERASED"))));
    assert_eq!((steps, said), (vec![], vec!["4 note withheld ItemData FEV1".to_owned()]));
    let visit = |state: &str, text: &str| {
        let text = format!("<Comment>{text}</Comment>");
        sent(&file(
            "",
            &format!("<StudyEventData StudyEventOID=\"BASE\">{}</StudyEventData>", flag("VISIT", state, &text)),
        ))
    };
    assert_eq!(visit("STARTED", "2026-03-04"), (vec!["start-visit".to_owned()], vec![]));
    assert_eq!(visit("MISSED", "on holiday"), (vec!["miss-visit".to_owned()], vec![]));
    assert_eq!(visit("STARTED", "[erased]").1, ["3 refused no-day Annotation BASE"]);
    let form = on_form("", "").replace("<ItemGroupData", &format!("{}<ItemGroupData", flag("MARK", "COMPLETED", "")));
    assert_eq!(sent(&file("", &form)), (vec!["complete-form".to_owned()], vec![]));
    let remark = "<Annotation SeqNum=\"1\"><Comment>see the letter</Comment></Annotation>";
    assert_eq!(sent(&file("", remark)), (vec!["open-query".to_owned()], vec![]));
}
