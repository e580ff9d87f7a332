use super::*;
use crate::testing::{Given, given, live_study};
use uuid::Uuid;

fn code(text: &str) -> Code {
    text.parse().expect("valid")
}

fn drawn(n: u8) -> Option<Drawn> {
    Some(Drawn { seed: Seed(CommitHash([n; 32])), salt: Seed(CommitHash([n + 1; 32])) })
}

fn arms() -> Vec<Arm> {
    vec![Arm { arm: code("A"), weight: 1 }, Arm { arm: code("B"), weight: 1 }]
}

fn factors() -> Vec<Factor> {
    let factor = |name, levels: [&str; 2]| Factor { factor: code(name), levels: levels.map(code).into() };
    vec![factor("sex", ["f", "m"]), factor("age", ["<65", ">=65"])]
}

fn seal() -> Command {
    Command::Seal { arms: arms(), factors: factors(), block_sizes: vec![2, 4], slots: 4, drawn: drawn(7) }
}

fn levels(sex: &str, age: &str) -> Levels {
    Levels([(code("sex"), code(sex)), (code("age"), code(age))].into())
}

fn list(events: impl IntoIterator<Item = Event>) -> Given<Randomisation> {
    given::<Randomisation>(events).governed(live_study())
}

fn the_list() -> Event {
    list([]).when(seal()).facts().remove(0)
}

fn assigned(n: u128, stratum: u32, slot: u32) -> Event {
    Event::SlotAssigned { allocation: AllocationId(Uuid::from_u128(n)), stratum, slot }
}

fn assign(n: u128, levels: Levels) -> Command {
    Command::AssignSlot { allocation: AllocationId(Uuid::from_u128(n)), levels }
}

#[test]
fn a_list_is_sealed_once_and_its_digest_is_over_all_of_it() {
    let Event::Sealed { content, digest } = the_list() else { panic!("it is sealed") };
    assert_eq!((content.strata.len(), content.strata[0].arms.len() >= 4), (4, true));
    let stream = StreamId::in_tenant(&crate::testing::tenant(), Aggregate::Participant, Uuid::from_u128(7));
    assert_eq!(content_hash(&content.document(&stream)), digest);
    let mut tampered = content.clone();
    tampered.strata[3].arms.swap(0, 1);
    let swapped = content.strata[3].arms[0] != content.strata[3].arms[1];
    assert_eq!(content_hash(&tampered.document(&stream)) != digest, swapped);
    tampered = Content { salt: Seed(CommitHash([9; 32])), ..content };
    assert_ne!(content_hash(&tampered.document(&stream)), digest, "the salt counts");
    list([the_list()]).when(seal()).then([]);
    let other = Command::Seal { arms: arms(), factors: vec![], block_sizes: vec![2, 4], slots: 4, drawn: drawn(7) };
    list([the_list()]).when(other).rejected("sealed-otherwise");
    given::<Randomisation>([]).when(seal()).rejected("no-such-study");
}

#[test]
fn what_is_no_list_is_not_sealed() {
    let with = |arms: Vec<Arm>, sizes: Vec<u32>, slots| Command::Seal {
        arms,
        factors: factors(),
        block_sizes: sizes,
        slots,
        drawn: drawn(7),
    };
    let lone = vec![Arm { arm: code("A"), weight: 1 }];
    for wrong in [
        with(lone, vec![2], 4),
        with([arms(), arms()].concat(), vec![4], 4),
        with(arms(), vec![3], 4),
        with(arms(), vec![0], 4),
        with(arms(), vec![], 4),
        with(arms(), vec![2], 0),
        with(arms(), vec![2], 5000),
        with(vec![Arm { arm: code("A"), weight: 0 }, Arm { arm: code("B"), weight: 1 }], vec![2], 4),
    ] {
        list([]).when(wrong).rejected("invalid-list");
    }
    let undrawn = Command::Seal { arms: arms(), factors: vec![], block_sizes: vec![2], slots: 4, drawn: None };
    list([]).when(undrawn).rejected("nothing-drawn");
}

#[test]
fn each_stratum_gives_its_slots_in_order_and_none_twice() {
    list([the_list()]).when(assign(1, levels("f", ">=65"))).then([assigned(1, 1, 0)]);
    let some = || list([the_list(), assigned(1, 1, 0), assigned(2, 1, 1), assigned(3, 2, 0)]);
    some().when(assign(4, levels("f", ">=65"))).then([assigned(4, 1, 2)]);
    some().when(assign(4, levels("m", "<65"))).then([assigned(4, 2, 1)]);
    some().when(assign(2, levels("f", ">=65"))).then([]);
    for wrong in [Levels::default(), levels("x", "<65"), Levels([(code("sex"), code("f"))].into())] {
        some().when(assign(4, wrong)).rejected("no-such-stratum");
    }
    list([]).when(assign(1, levels("f", "<65"))).rejected("no-such-list");
}

#[test]
fn an_exhausted_stratum_and_a_closed_list_give_nothing() {
    let Event::Sealed { content, .. } = the_list() else { panic!("it is sealed") };
    let slots = content.strata[0].arms.len() as u32;
    let all = (0..slots).map(|slot| assigned(u128::from(slot), 0, slot));
    list([the_list()].into_iter().chain(all)).when(assign(99, levels("f", "<65"))).rejected("stratum-exhausted");
    list([the_list()]).when(Command::Close {}).then([Event::Closed {}]);
    let closed = || list([the_list(), assigned(1, 0, 0), Event::Closed {}]);
    closed().when(assign(2, levels("f", "<65"))).rejected("list-closed");
    closed().when(assign(1, levels("f", "<65"))).then([]);
    closed().when(Command::Close {}).then([]);
}

const CSV: &str = "number,arm,sex\r\n1001,A,f\r\n1002,B,m\r\n1003,B,f\r\n\r\n1004,A,m\r\n";

#[test]
fn an_imported_list_keeps_its_numbers_and_its_order() {
    let import = |csv: &str| Command::Import { csv: csv.into(), drawn: drawn(7) };
    let facts = list([]).when(import(CSV)).facts();
    let mut state = Randomisation::default();
    facts.iter().for_each(|fact| state.evolve(fact, crate::history::Revision(1).into()));
    state.evolve(&assigned(1, 0, 0), crate::history::Revision(2).into());
    state.evolve(&assigned(2, 0, 1), crate::history::Revision(3).into());
    let found = |n| state.list().and_then(|list| list.slot_of(AllocationId(Uuid::from_u128(n)))).expect("assigned");
    assert_eq!((found(1).arm, found(1).number), (code("A"), Some("1001".parse().expect("valid"))));
    assert_eq!((found(2).arm, found(2).number), (code("B"), Some("1003".parse().expect("valid"))));
    list(facts.clone()).when(import(CSV)).then([]);
    list(facts).when(import("number,arm\n1,A\n2,B\n")).rejected("sealed-otherwise");
}

#[test]
fn a_wrong_line_is_named() {
    let cases = [
        ("", "/csv/line 1"),
        ("arm,number\nA,1\n", "/csv/line 1"),
        ("number,arm\n1,A\n1,B\n", "/csv/line 3"),
        ("number,arm,sex\n1,A,f\n2,B\n", "/csv/line 3"),
        ("number,arm\n1,A\n2,\"B\"\n", "/csv/line 3"),
        ("number,arm\n1,A\n2,A\n", "/arms"),
    ];
    for (csv, pointer) in cases {
        let refused = list([]).when(Command::Import { csv: csv.into(), drawn: drawn(7) }).refusal();
        assert_eq!(refused.faults().first().map(|fault| fault.pointer.as_str()), Some(pointer), "{csv}");
    }
}
