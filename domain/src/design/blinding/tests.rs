use super::*;
use crate::design::{CheckDef, ExpressionDef, Ref};
use crate::testing::{at_most, design, oid};

/// The usual design with a blinded kit number beside the pressure.
fn with_kit(change: impl FnOnce(&mut StudyDesign)) -> Vec<(String, String)> {
    let mut design = design();
    let kit = ItemDef { oid: oid("KIT"), blinded: true, range_checks: vec![], ..design.items[0].clone() };
    design.items.push(kit);
    design.item_groups[0].items.push(Ref { oid: oid("KIT"), mandatory: false, skip_condition: None, method: None });
    assert_eq!(design.faults(), [], "a blinded item by itself tells nothing");
    change(&mut design);
    design.faults().into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
}

fn lethe(text: &str) -> Vec<Expression> {
    vec![Expression { context: "lethe".into(), text: text.into() }]
}

fn named(name: &str, text: &str) -> ExpressionDef {
    ExpressionDef { oid: name.into(), name: name.into(), expressions: lethe(text) }
}

fn check(at: &str, text: &str) -> CheckDef {
    CheckDef {
        oid: "CK".parse().expect("valid"),
        name: "CK".into(),
        form: oid("VS"),
        group: oid("G"),
        item: oid(at),
        hard: false,
        expression: text.into(),
        message: Default::default(),
    }
}

#[track_caller]
fn told(faults: Vec<(String, String)>, pointer: &str, words: &[&str]) {
    let [(at, detail)] = faults.as_slice() else { panic!("one fault, not {faults:?}") };
    assert_eq!(at, pointer);
    for word in words {
        assert!(detail.contains(word), "{detail}");
    }
}

#[test]
fn whatever_shows_an_outcome_reads_no_blinded_item() {
    let reads = "item(\"KIT\") > 5";
    told(with_kit(|one| one.checks.push(check("SYSBP", reads))), "/checks/0/expression", &["check CK", "KIT"]);
    told(with_kit(|one| one.checks.push(check("KIT", "value > 5"))), "/checks/0/expression", &["check CK", "KIT"]);
    told(
        with_kit(|one| one.checks.push(check("SYSBP", "at(\"V1\", \"VS\", \"KIT\") > 5"))),
        "/checks/0/expression",
        &["check CK"],
    );
    told(with_kit(|one| one.conditions.push(named("C1", reads))), "/conditions/0/expressions/0", &["condition C1"]);
    let method = named("M1", "item(\"KIT\") * 2");
    told(with_kit(|one| one.methods.push(method)), "/methods/0/expressions/0", &["method M1", "KIT"]);
    told(
        with_kit(|one| one.items[2].range_checks.push(at_most("5", false))),
        "/items/2/range_checks/0",
        &["range check 0 at KIT"],
    );
    let by_expression = |item: usize| {
        move |one: &mut StudyDesign| {
            let mut range = at_most("5", false);
            (range.comparator, range.values, range.expressions) = (None, vec![], lethe("item(\"KIT\") > 5"));
            one.items[item].range_checks = vec![range];
        }
    };
    told(with_kit(by_expression(0)), "/items/0/range_checks/0/expressions/0", &["SYSBP", "KIT"]);
    told(with_kit(by_expression(2)), "/items/2/range_checks/0/expressions/0", &["KIT"]);
}

#[test]
fn a_blinded_item_has_no_other_scope() {
    told(
        with_kit(|one| one.items[2].scope = Some(Scope::HealthClinical)),
        "/items/2/scope",
        &["KIT", "health.blinded"],
    );
    assert_eq!(with_kit(|one| one.items[2].scope = Some(Scope::HealthBlinded)), []);
    // The scope alone blinds too.
    let by_scope = with_kit(|one| {
        (one.items[2].blinded, one.items[2].scope) = (false, Some(Scope::HealthBlinded));
        one.checks.push(check("SYSBP", "item(\"KIT\") > 5"));
    });
    told(by_scope, "/checks/0/expression", &["KIT"]);
}

#[test]
fn what_reads_open_items_may_stand_at_a_blinded_one() {
    assert_eq!(with_kit(|one| one.checks.push(check("KIT", "item(\"SYSBP\") > 5"))), []);
    // In a language that nobody here carries out it tells nobody anything.
    let foreign = with_kit(|one| {
        let mut condition = named("C1", "item(\"KIT\") > 5");
        condition.expressions[0].context = "SAS".into();
        one.conditions.push(condition);
    });
    assert_eq!(foreign, []);
}
