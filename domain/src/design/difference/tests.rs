use super::{FieldChange, How, Kind};
use crate::design::{Code, CodeListDef, DataType, Labels, StudyDesign};
use crate::scope::Scope;
use crate::testing::{design, oid};

fn said(before: &StudyDesign, after: &StudyDesign) -> Vec<(Kind, String, How, Vec<String>)> {
    let fields = |fields: &[FieldChange]| fields.iter().map(|field| field.field.clone()).collect();
    let changes = before.difference(after).changes;
    changes.into_iter().map(|one| (one.kind, one.oid.clone(), one.how, fields(&one.fields))).collect()
}

#[test]
fn a_design_does_not_differ_from_itself() {
    assert_eq!(said(&design(), &design()), []);
}

#[test]
fn what_was_added_removed_and_changed_is_said_definition_by_definition() {
    let before = design();
    let mut after = before.clone();
    after.items[0].length = Some(3);
    after.items[1].oid = oid("AETEXT");
    after.item_groups[0].items[1].oid = oid("AETEXT");
    after.visits[0].forms[0].mandatory = true;
    after.code_lists.push(CodeListDef { oid: "YN".into(), name: "Yes or no".into(), codes: vec![] });
    let changed = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        said(&before, &after),
        [
            (Kind::Visit, "V1".into(), How::Changed, changed(&["forms/VS/mandatory"])),
            (Kind::ItemGroup, "G".into(), How::Changed, changed(&["items/AETERM", "items/AETEXT"])),
            (Kind::Item, "AETERM".into(), How::Removed, vec![]),
            (Kind::Item, "AETEXT".into(), How::Added, vec![]),
            (Kind::Item, "SYSBP".into(), How::Changed, changed(&["length"])),
            (Kind::CodeList, "YN".into(), How::Added, vec![]),
        ]
    );
}

#[test]
fn a_code_that_is_new_does_not_make_the_others_differ() {
    let code = |value: &str| Code { value: value.into(), labels: Labels::new() };
    let list = |codes: &[&str]| CodeListDef {
        oid: "YN".into(),
        name: "Yes or no".into(),
        codes: codes.iter().map(|value| code(value)).collect(),
    };
    let before = StudyDesign { code_lists: vec![list(&["Y", "N"])], ..design() };
    let after = StudyDesign { code_lists: vec![list(&["Y", "N", "U"])], ..design() };
    let said = said(&before, &after);
    assert_eq!(said, [(Kind::CodeList, "YN".into(), How::Changed, vec!["codes/U".into()])]);
}

#[test]
fn a_later_version_never_protects_an_item_less() {
    let with = |scope, identifier, blinded| {
        let mut one = design();
        one.items[0].scope = scope;
        (one.items[0].identifier, one.items[0].blinded) = (identifier, blinded);
        one
    };
    let pointers = |before: &StudyDesign, after: &StudyDesign| {
        after.lowered_from(before).into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    let plain = with(None, false, false);
    let closed = with(Some(Scope::IdentityContact), true, true);
    assert_eq!(pointers(&plain, &closed), [""; 0]);
    assert_eq!(pointers(&closed, &plain), ["/items/0/scope", "/items/0/identifier", "/items/0/blinded"]);
    let optional = with(Some(Scope::HealthOptional), false, false);
    assert_eq!(pointers(&optional, &plain), ["/items/0/scope"]);
    assert_eq!(pointers(&closed, &optional), ["/items/0/scope", "/items/0/identifier", "/items/0/blinded"]);
    // A text that becomes a number or a coded value is protected less too, unless the design says otherwise.
    let mut coded = design();
    coded.items[1].data_type = DataType::Integer;
    assert_eq!(pointers(&design(), &coded), ["/items/1/scope"]);
    coded.items[1].scope = Some(Scope::HealthFreeText);
    assert_eq!(pointers(&design(), &coded), [""; 0]);
}
