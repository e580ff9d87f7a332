//! Two histories that differ in blinded values alone differ in nothing that is not blinded: not in which check fired,
//! which query stands open, what was computed, what was left out, what was refused. What the views then show of equal
//! facts is held to the same law by `query-api/src/blinding.rs`.

use proptest::prelude::*;

use super::*;
use crate::design::{CheckDef, Expression, ExpressionDef, ItemDef, Ref, StudyDesign};
use crate::participant::{Command, Event, FormKey, ItemToSave, Participant, Source};
use crate::permit::Role;
use crate::testing::{at_most, design, live_study_under, oid, principal, site};

/// What a rule of the design may read, and whether that is blinded.
const READS: &[(&str, bool)] = &[
    ("item(\"SYSBP\") > 50", false),
    ("item(\"DIABP\") + item(\"SYSBP\") < 100", false),
    ("item(\"KIT\") > 50", true),
    ("item(\"DIABP\") < item(\"KIT\")", true),
    ("at(\"V1\", \"VS\", \"KIT\") != 30", true),
    ("known(item(\"SYSBP\")) ? item(\"SYSBP\") > 10 : item(\"KIT\") > 50", true),
];

/// Rules by their place among [`READS`]; the range on the kit is one more.
#[derive(Debug, Clone)]
struct Rules {
    checks: Vec<(usize, bool, &'static str)>,
    range: Option<usize>,
    skip: Option<usize>,
    method: Option<usize>,
    kit_range: Option<bool>,
}

fn rules() -> impl Strategy<Value = Rules> {
    let read = || 0..READS.len();
    let at = prop::sample::select(vec!["SYSBP", "DIABP", "KIT"]);
    let checks = prop::collection::vec((read(), any::<bool>(), at), 0..4);
    (checks, prop::option::of(read()), prop::option::of(read()), prop::option::of(read()), any::<Option<bool>>())
        .prop_map(|(checks, range, skip, method, kit_range)| Rules { checks, range, skip, method, kit_range })
}

impl Rules {
    fn read_blinded(&self) -> bool {
        let mut reads =
            self.checks.iter().map(|(read, ..)| *read).chain(self.range).chain(self.skip).chain(self.method);
        self.kit_range.is_some() || reads.any(|read| READS[read].1)
    }

    fn design(&self) -> StudyDesign {
        let mut design = design();
        let mut like = |name: &str, blinded: bool| {
            let item = ItemDef { oid: oid(name), blinded, range_checks: vec![], ..design.items[0].clone() };
            design.items.push(item);
            let reference = Ref { oid: oid(name), mandatory: false, skip_condition: None, method: None };
            design.item_groups[0].items.push(reference);
        };
        like("DIABP", false);
        like("TWICE", false);
        like("KIT", true);
        let lethe = |text: &str| vec![Expression { context: "lethe".into(), text: text.into() }];
        let named =
            |name: &str, text: &str| ExpressionDef { oid: name.into(), name: name.into(), expressions: lethe(text) };
        for (n, (read, hard, at)) in self.checks.iter().enumerate() {
            design.checks.push(CheckDef {
                oid: format!("CK{n}").parse().expect("valid"),
                name: format!("CK{n}"),
                form: oid("VS"),
                group: oid("G"),
                item: oid(at),
                hard: *hard,
                expression: READS[*read].0.into(),
                message: Default::default(),
            });
        }
        if let Some(read) = self.range {
            let mut range = at_most("5", false);
            (range.comparator, range.values, range.expressions) = (None, vec![], lethe(READS[read].0));
            design.items[0].range_checks.push(range);
        }
        if let Some(read) = self.skip {
            design.conditions.push(named("C", READS[read].0));
            place(&mut design, "DIABP").skip_condition = Some("C".into());
        }
        if let Some(read) = self.method {
            design.methods.push(named("M", &format!("{} ? 1 : item(\"SYSBP\")", READS[read].0)));
            place(&mut design, "TWICE").method = Some("M".into());
        }
        if let Some(hard) = self.kit_range {
            design.items.last_mut().expect("the kit").range_checks.push(at_most("50", hard));
        }
        design
    }
}

fn place<'a>(design: &'a mut StudyDesign, item: &str) -> &'a mut Ref {
    design.item_groups[0].items.iter_mut().find(|one| one.oid == oid(item)).expect("it is there")
}

/// What is entered, by a program that may enter both: the kit (each time another one) or an open item.
#[derive(Debug, Clone)]
enum Enter {
    Kit,
    Open(&'static str, u32),
}

fn entries() -> impl Strategy<Value = Vec<Enter>> {
    let open =
        (prop::sample::select(vec!["SYSBP", "DIABP"]), 0..120_u32).prop_map(|(item, value)| Enter::Open(item, value));
    prop::collection::vec(prop_oneof![Just(Enter::Kit), open], 1..8)
}

/// The history with these kits; every answer is noted, refusals too.
fn told(design: &StudyDesign, entries: &[Enter], kits: impl Fn(u32) -> u32) -> (Vec<(Revision, Event)>, Vec<String>) {
    let mut state = Participant::default();
    let begun = [
        Event::Registered { site: site("oslo"), subject_number: "001".parse().expect("valid") },
        Event::DesignAssigned { design: design.hash() },
        Event::ConsentGiven { version: "1.0".parse().expect("valid"), reference: None },
    ];
    begun.iter().for_each(|event| state.evolve(event, Revision(1).into()));
    let (mut facts, mut answers) = (vec![], vec![]);
    for (n, entry) in entries.iter().enumerate() {
        let (item, value) = match entry {
            Enter::Kit => ("KIT", kits(n as u32)),
            Enter::Open(item, value) => (*item, *value),
        };
        let form = FormKey { visit: oid("V1"), visit_repeat: 1, form: oid("VS"), form_repeat: 1 };
        let item = ItemToSave {
            group: oid("G"),
            group_repeat: 1,
            item: oid(item),
            value: Some(crate::design::ItemValue(value.to_string())),
            not_done: None,
            reason: Some("read again".into()),
            expect: None,
        };
        let command = Command::SaveItems { form, items: vec![item], source: Source::User };
        let act = Act { who: principal(Role::Integrator, 1), command: Some(command), tagged: n > 0 };
        let above = (live_study_under(design.clone()), ());
        let (answer, _) = ask::<Participant>(&state, n, &act, &above).expect("a command");
        let answer = answer.map_err(|refused| format!("{refused} {:?}", refused.faults()));
        let revision = Revision(n as u64 + 2);
        answers.push(answer.as_ref().map_or_else(Clone::clone, |facts| format!("{} facts", facts.len())));
        for fact in answer.into_iter().flatten() {
            state.evolve(&fact, revision.into());
            facts.push((revision, fact));
        }
    }
    (facts, answers)
}

proptest! {
    #[test]
    fn blinded_values_decide_nothing_that_the_blinded_see(rules in rules(), entries in entries()) {
        let design = rules.design();
        // A design that reads one is refused; one that was published before that was looked at tells nothing either.
        prop_assert_eq!(design.faults().is_empty(), !rules.read_blinded());
        let blinded = [Scope::HealthBlinded].into();
        let (one, answers) = told(&design, &entries, |n| 3 * n);
        let (other, others) = told(&design, &entries, |n| 1000 - 7 * n);
        prop_assert_eq!(without(&one, &blinded), without(&other, &blinded));
        prop_assert_eq!(answers, others);
        let kits = entries.iter().filter(|entry| matches!(entry, Enter::Kit)).count();
        prop_assert!(kits == 0 || one != other, "the histories do differ");
    }
}

/// Rules that are carried out fire here too: otherwise the law above would hold of a design without any.
#[test]
fn the_rules_of_this_law_fire() {
    let rules = Rules { checks: vec![(0, false, "SYSBP")], range: None, skip: None, method: Some(0), kit_range: None };
    let (facts, _) = told(&rules.design(), &[Enter::Kit, Enter::Open("SYSBP", 20)], |n| n);
    let names: Vec<_> = facts.iter().map(|(_, fact)| fact.name()).collect();
    assert!(names.contains(&"check-fired") && names.contains(&"query-opened"), "{names:?}");
    let computed = facts
        .iter()
        .any(|(_, fact)| matches!(fact, Event::ItemsSaved { items, .. } if items.iter().any(|item| item.computed)));
    assert!(computed);
}
