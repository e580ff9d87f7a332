use super::*;
use crate::design::{
    CheckDef, DataType, Expression, ExpressionDef, FormDef, ItemDef, ItemGroupDef, Ref, StudyDesign, VisitDef,
};
use crate::testing::{at_most, design, live_study_under};

/// Two visits with vital signs, pulse and mean pressure beside the pressures of the usual design.
fn rich(change: impl FnOnce(&mut StudyDesign)) -> Study {
    let mut design = design();
    let like =
        |name: &str, data_type| ItemDef { oid: oid(name), data_type, range_checks: vec![], ..design.items[0].clone() };
    let more = [
        like("DIABP", DataType::Integer),
        like("MEAN", DataType::Decimal),
        like("SEX", DataType::Text),
        like("PREG", DataType::Boolean),
        like("AGE", DataType::Integer),
        like("BIRTH", DataType::Date),
    ];
    let reference = |name: &str| Ref { oid: oid(name), mandatory: false, skip_condition: None, method: None };
    design.items.extend(more);
    design.item_groups[0].items.extend([reference("DIABP"), reference("MEAN")]);
    let group = ItemGroupDef {
        oid: oid("D"),
        items: ["SEX", "PREG", "AGE", "BIRTH"].map(reference).to_vec(),
        repeating: false,
        ..design.item_groups[0].clone()
    };
    design.item_groups.push(group);
    let dm = FormDef { oid: oid("DM"), item_groups: vec![reference("D")], ..design.forms[0].clone() };
    design.forms.push(dm);
    design.visits[0].forms.push(reference("DM"));
    let second = VisitDef { oid: oid("V2"), ..design.visits[0].clone() };
    design.visits.push(second);
    change(&mut design);
    assert_eq!(design.faults(), []);
    live_study_under(design)
}

fn check(id: &str, at: (&str, &str, &str), hard: bool, expression: &str) -> CheckDef {
    let message = [("en".to_owned(), format!("{id} says no"))].into();
    let (oid_, name) = (id.parse().expect("valid"), id.to_owned());
    let (form, group, item) = (oid(at.0), oid(at.1), oid(at.2));
    CheckDef { oid: oid_, name, form, group, item, hard, expression: expression.into(), message }
}

fn named(oid: &str, text: &str) -> ExpressionDef {
    let expressions = vec![
        Expression { context: "SAS".into(), text: "whatever".into() },
        Expression { context: "lethe".into(), text: text.into() },
    ];
    ExpressionDef { oid: oid.into(), name: oid.into(), labels: Default::default(), expressions }
}

fn at(visit: &str, form: &str) -> FormKey {
    FormKey { visit: oid(visit), visit_repeat: 1, form: oid(form), form_repeat: 1 }
}

fn put(form: FormKey, items: &[(&str, &str, &str)]) -> Event {
    let saved = |(group, item, value): &(&str, &str, &str)| SavedItem {
        item: ItemKey { group: oid(group), group_repeat: 1, item: oid(item) },
        value: Some(DesignScoped {
            scope: Scope::HealthClinical,
            part: Part::all(),
            value: if *value == "ERASED" { Erasable::Erased } else { Erasable::Known(ItemValue((*value).into())) },
        }),
        not_done: None,
        computed: false,
        reason: None,
    };
    Event::ItemsSaved { form, items: items.iter().map(saved).collect(), source: Source::User }
}

fn send(form: FormKey, items: &[(&str, &str, Option<&str>)]) -> Command {
    let item = |(group, item, value): &(&str, &str, Option<&str>)| ItemToSave {
        group: oid(group),
        ..to_save(item, *value, Some("asked"))
    };
    Command::SaveItems { form, items: items.iter().map(item).collect(), source: Source::User }
}

fn on(study: &Study, before: &[Event]) -> Given<Participant> {
    given::<Participant>([registered(), consented()].into_iter().chain(before.iter().cloned())).governed(study.clone())
}

/// What fired: check, item, outcome; and which values were computed where.
fn told(facts: &[Event]) -> Vec<String> {
    let of = |value: &Option<DesignScoped<ItemValue>>| {
        value.as_ref().and_then(|one| one.value.known().map(|one| one.0.clone())).unwrap_or_default()
    };
    let mut told = Vec::new();
    for fact in facts {
        match fact {
            Event::CheckFired { form, item, check, outcome, value, .. } => {
                told.push(format!("{check} at {} {} {}: {outcome:?} {}", form.visit, form.form, item.item, of(value)));
            }
            Event::ItemsSaved { form, items, .. } => {
                let computed = items.iter().filter(|item| item.computed);
                told.extend(
                    computed
                        .map(|item| format!("{} {} {} = {}", form.visit, form.form, item.item.item, of(&item.value))),
                );
            }
            Event::QueryOpened { check: Some(check), .. } => told.push(format!("asked {check}")),
            Event::QueryClosed { by_check: true, .. } => told.push("closed".into()),
            _ => {}
        }
    }
    told
}

#[test]
fn a_soft_range_asks_and_a_hard_one_refuses_and_keeps_what_was_tried() {
    let study = live_study();
    let soft = on(&study, &[]).when(save(vec![to_save("SYSBP", Some("10000001"), None)])).facts();
    assert_eq!(told(&soft), ["range:SYSBP:0 at V1 VS SYSBP: Accepted 10000001", "asked range:SYSBP:0"]);
    assert!(matches!(soft[0], Event::ItemsSaved { .. }));
    let items = vec![to_save("AETERM", Some("fine"), None), to_save("SYSBP", Some("100000001"), None)];
    let hard = on(&study, &[]).when(save(items)).facts();
    assert_eq!(told(&hard), ["range:SYSBP:1 at V1 VS SYSBP: Refused 100000001"]);
    let refused = Participant::refusal(&hard).expect("a refusal");
    assert_eq!((refused.code(), refused.faults().len()), ("hard-check", 1));
    assert_eq!(refused.faults()[0].pointer, "/items/1/value");
    assert_eq!(refused.faults()[0].detail, "range:SYSBP:1: at most 100000000");
    assert!(Participant::refusal(&soft).is_none());
    let mut after = Participant::default();
    [registered(), consented()].iter().chain(&hard).for_each(|fact| after.evolve(fact, Revision(1).into()));
    assert!(after.record().expect("registered").forms.is_empty(), "nothing was saved");
}

#[test]
fn a_corrected_value_closes_what_was_asked() {
    let study = live_study();
    let first = on(&study, &[]).when(save(vec![to_save("SYSBP", Some("10000001"), None)])).facts();
    let second =
        |value| on(&study, &first).expecting(3).when(save(vec![to_save("SYSBP", value, Some("typo"))])).facts();
    assert_eq!(told(&second(Some("120"))), ["closed"]);
    assert_eq!(told(&second(None)), ["closed"], "where nothing stands, nothing is out of range");
    assert_eq!(
        told(&second(Some("10000002"))),
        ["range:SYSBP:0 at V1 VS SYSBP: Accepted 10000002"],
        "one query is enough"
    );
}

#[test]
fn a_check_across_items_looks_at_the_same_occurrence_of_the_group() {
    let study =
        rich(|design| design.checks.push(check("order", ("VS", "G", "SYSBP"), false, "value > item(\"DIABP\")")));
    let two = |second: &str| {
        let other = ItemToSave { group_repeat: 2, ..to_save("SYSBP", Some(second), None) };
        let below = ItemToSave { group_repeat: 2, ..to_save("DIABP", Some("70"), None) };
        save(vec![to_save("SYSBP", Some("120"), None), to_save("DIABP", Some("80"), None), other, below])
    };
    assert_eq!(told(&on(&study, &[]).when(two("75")).facts()), Vec::<String>::new());
    assert_eq!(told(&on(&study, &[]).when(two("69")).facts()), ["order at V1 VS SYSBP: Accepted 69", "asked order"]);
    // One of the two is not there: no opinion.
    assert_eq!(told(&on(&study, &[]).when(send(form(), &[("G", "DIABP", Some("80"))])).facts()), Vec::<String>::new());
    let erased = [put(form(), &[("G", "SYSBP", "ERASED")])];
    let change = send(form(), &[("G", "DIABP", Some("80"))]);
    assert_eq!(told(&on(&study, &erased).expecting(3).when(change).facts()), Vec::<String>::new());
}

#[test]
fn a_check_across_visits_fires_at_its_own_place_whoever_changes() {
    let rule = "abs(value - at(\"V1\", \"VS\", \"SYSBP\")) < 50";
    let study = |hard| rich(move |design| design.checks.push(check("jump", ("VS", "G", "SYSBP"), hard, rule)));
    let before = [put(at("V1", "VS"), &[("G", "SYSBP", "120")]), put(at("V2", "VS"), &[("G", "SYSBP", "130")])];
    let change = || send(at("V1", "VS"), &[("G", "SYSBP", Some("200"))]);
    let soft = on(&study(false), &before).expecting(3).when(change()).facts();
    assert_eq!(told(&soft), ["jump at V2 VS SYSBP: Accepted ", "asked jump"]);
    let hard = on(&study(true), &before).expecting(3).when(change()).facts();
    assert_eq!(told(&hard), ["jump at V1 VS SYSBP: Refused 200"], "what was tried is the value of this command");
    let elsewhere = send(at("V1", "VS"), &[("G", "DIABP", Some("80"))]);
    assert_eq!(told(&on(&study(false), &before).expecting(3).when(elsewhere).facts()), Vec::<String>::new());
    let mut removed = before.to_vec();
    let reason = Personal::new("wrong visit".to_owned());
    removed.push(Event::FormRemoved { form: at("V2", "VS"), reason });
    assert_eq!(told(&on(&study(false), &removed).expecting(3).when(change()).facts()), Vec::<String>::new());
}

fn computing() -> Study {
    rich(|design| {
        design.methods.push(named("MEAN", "round((item(\"SYSBP\") + 2 * item(\"DIABP\")) / 3, 1)"));
        design.methods.push(named("AGE", "years(item(\"BIRTH\"), visit_date())"));
        design.item_groups[0].items[3].method = Some("MEAN".into());
        design.item_groups[1].items[2].method = Some("AGE".into());
        design.items[3].range_checks = vec![at_most("150", true)];
    })
}

#[test]
fn a_computed_item_follows_what_it_is_made_of() {
    let study = computing();
    let both = send(form(), &[("G", "SYSBP", Some("120")), ("G", "DIABP", Some("80"))]);
    assert_eq!(told(&on(&study, &[]).when(both.clone()).facts()), ["V1 VS MEAN = 93.3"]);
    let stands = on(&study, &[]).when(both).facts();
    let again = |value| on(&study, &stands).expecting(3).when(send(form(), &[("G", "SYSBP", value)])).facts();
    assert_eq!(told(&again(Some("140"))), ["V1 VS MEAN = 100"]);
    assert_eq!(told(&again(None)), ["V1 VS MEAN = "], "it was the result of something else");
    let high = send(form(), &[("G", "DIABP", Some("300"))]);
    let refused = on(&study, &stands).expecting(3).when(high).facts();
    assert_eq!(told(&refused), ["range:MEAN:0 at V1 VS DIABP: Refused 300"]);
    let erased = [put(form(), &[("G", "SYSBP", "ERASED"), ("G", "DIABP", "80"), ("G", "MEAN", "93")])];
    let change = send(form(), &[("G", "DIABP", Some("81"))]);
    assert_eq!(
        told(&on(&study, &erased).expecting(3).when(change).facts()),
        Vec::<String>::new(),
        "it stays as it was"
    );
}

#[test]
fn nobody_writes_a_computed_item_but_a_file_may_repeat_it() {
    let study = computing();
    let with =
        |mean| send(form(), &[("G", "MEAN", Some(mean)), ("G", "SYSBP", Some("120")), ("G", "DIABP", Some("80"))]);
    let refused = on(&study, &[]).when(with("94")).refusal();
    assert_eq!((refused.code(), &*refused.faults()[0].pointer), ("invalid-items", "/items/0/value"));
    assert_eq!(told(&on(&study, &[]).when(with("93.3")).facts()), ["V1 VS MEAN = 93.3"]);
    on(&study, &[]).when(send(form(), &[("G", "MEAN", Some("94"))])).rejected("invalid-items");
}

#[test]
fn what_is_made_of_a_form_goes_with_it_and_comes_back() {
    let rule = "years(at(\"V1\", \"DM\", \"BIRTH\"), '2026-06-01') < 18 || value < 180";
    let study = rich(|design| design.checks.push(check("adult", ("VS", "G", "SYSBP"), false, rule)));
    let pressures = put(form(), &[("G", "SYSBP", "190")]);
    let before = [put(at("V1", "DM"), &[("D", "BIRTH", "2000-06-01")]), pressures];
    let remove = Command::RemoveForm { form: at("V1", "DM"), reason: "of another".into() };
    let removed = on(&study, &before).when(remove).facts();
    assert_eq!(told(&removed), Vec::<String>::new(), "nothing known, no opinion");
    let stands: Vec<Event> = before.into_iter().chain(removed).collect();
    let restore = Command::RestoreForm { form: at("V1", "DM"), reason: "it was right".into() };
    let restored = on(&study, &stands).when(restore).facts();
    assert_eq!(told(&restored), ["adult at V1 VS SYSBP: Accepted ", "asked adult"]);
}

#[test]
fn an_age_follows_the_day_of_the_visit() {
    let study = computing();
    let day = |text: &str| serde_json::from_value::<crate::Day>(text.into()).expect("a day");
    let start = |on, reason: Option<&str>| Command::StartVisit {
        visit: form().visit(),
        on: day(on),
        reason: reason.map(Into::into),
    };
    let dm = [put(at("V1", "DM"), &[("D", "BIRTH", "2000-06-01")])];
    let started = on(&study, &dm).when(start("2026-05-31", None)).facts();
    assert_eq!(told(&started), ["V1 DM AGE = 25"]);
    let stands: Vec<Event> = dm.into_iter().chain(started).collect();
    assert_eq!(told(&on(&study, &stands).when(start("2026-06-01", Some("typo"))).facts()), ["V1 DM AGE = 26"]);
    on(&study, &stands).when(start("2026-06-01", None)).rejected("reason-required");
    on(&study, &stands).when(start("2026-05-31", None)).then([]);
    let missed = || Command::MissVisit { visit: form().visit(), reason: "ill".into() };
    on(&study, &stands).when(missed()).rejected("visit-has-values");
    let removed = Event::FormRemoved { form: at("V1", "DM"), reason: super::queries::text("another's") };
    let without: Vec<Event> = stands.into_iter().chain([removed]).collect();
    assert_eq!(on(&study, &without).when(missed()).facts().len(), 1);
}

#[test]
fn what_is_left_out_takes_no_value_and_what_stands_there_is_asked_about() {
    let study = rich(|design| {
        design.conditions.push(named("MAN", "item(\"SEX\") == 'M'"));
        design.item_groups[1].items[1].skip_condition = Some("MAN".into());
        design.item_groups[1].items[1].mandatory = true;
    });
    let dm = || at("V1", "DM");
    let refused = on(&study, &[]).when(send(dm(), &[("D", "SEX", Some("M")), ("D", "PREG", Some("true"))])).facts();
    assert_eq!(told(&refused), ["skipped:PREG at V1 DM PREG: Refused true"]);
    assert_eq!(
        on(&study, &[]).when(send(dm(), &[("D", "SEX", Some("F")), ("D", "PREG", Some("true"))])).facts().len(),
        1
    );
    let woman = [put(dm(), &[("D", "SEX", "F"), ("D", "PREG", "true")])];
    let turned = on(&study, &woman).expecting(3).when(send(dm(), &[("D", "SEX", Some("M"))])).facts();
    assert_eq!(told(&turned), ["skipped:PREG at V1 DM PREG: Accepted ", "asked skipped:PREG"]);
    let stands: Vec<Event> = woman.into_iter().chain(turned).collect();
    let cleared = on(&study, &stands).expecting(4).when(send(dm(), &[("D", "PREG", None)])).facts();
    assert_eq!(told(&cleared), ["closed"]);
    // What is left out is not required either.
    let complete = || Command::CompleteForm { form: dm() };
    on(&study, &[put(dm(), &[("D", "SEX", "M")])]).when(complete()).then([Event::FormCompleted { form: dm() }]);
    on(&study, &[put(dm(), &[("D", "SEX", "F")])]).when(complete()).rejected("incomplete-form");
    on(&study, &[put(dm(), &[("D", "SEX", "F"), ("D", "PREG", "ERASED")])])
        .when(complete())
        .then([Event::FormCompleted { form: dm() }]);
}

#[test]
fn a_range_check_may_be_an_expression() {
    let study = rich(|design| {
        let mut check = at_most("1", true);
        check.comparator = None;
        check.expressions = vec![Expression { context: "cel".into(), text: "value <= item(\"SYSBP\")".into() }];
        design.items[2].range_checks = vec![check];
    });
    let wrong = send(form(), &[("G", "SYSBP", Some("70")), ("G", "DIABP", Some("80"))]);
    assert_eq!(told(&on(&study, &[]).when(wrong).facts()), ["range:DIABP:0 at V1 VS DIABP: Refused 80"]);
}

#[test]
fn expressions_that_do_not_fit_are_faults_of_the_design() {
    let broken = |change: &dyn Fn(&mut StudyDesign)| {
        let mut design = design();
        change(&mut design);
        design
            .faults()
            .into_iter()
            .map(|fault| format!("{} {}", fault.pointer, fault.detail))
            .collect::<Vec<_>>()
            .join("; ")
    };
    let vs = ("VS", "G", "SYSBP");
    let faults = [
        broken(&|design| design.checks.push(check("a", vs, true, "item(\"UNHEARD\") > 1"))),
        broken(&|design| design.checks.push(check("a", vs, true, "value + 1"))),
        broken(&|design| design.checks.push(check("a", ("VS", "G", "UNHEARD"), true, "true"))),
        broken(&|design| design.checks.extend([check("a", vs, true, "true"), check("a", vs, true, "true")])),
        broken(&|design| design.conditions.push(named("C", "1"))),
        broken(&|design| {
            design.methods.push(named("M", "item(\"SYSBP\") + 1"));
            design.item_groups[0].items[0].method = Some("M".into());
        }),
        broken(&|design| {
            design.methods.push(named("M", "'text'"));
            design.item_groups[0].items[0].method = Some("M".into());
        }),
    ];
    let expected = [
        "/checks/0/expression reads the item UNHEARD",
        "/checks/0/expression it comes to a number",
        "/checks/0 it stands at UNHEARD",
        "/checks/1/oid the OID a stands twice",
        "/conditions/0/expressions/1 it comes to a number",
        "/methods SYSBP is computed from itself",
        "/methods/0/expressions/1 it comes to a text",
    ];
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.starts_with(expected), "{fault}");
    }
    let mut foreign = design();
    foreign.methods.push(named("M", "1"));
    foreign.items[0].range_checks[0].unit = Some("mmHg".into());
    let kept: Vec<_> = foreign.not_executed().into_iter().map(|fault| fault.pointer).collect();
    assert_eq!(kept, ["/methods/0/expressions/0", "/items/0/range_checks/0"]);
}
