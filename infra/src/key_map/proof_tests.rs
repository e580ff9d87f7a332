use domain::history::DataSubject;
use domain::scope::{Part as ScopePart, Scope};
use proptest::prelude::*;
use uuid::Uuid;

use super::super::tree::Leaves;
use super::super::{place, value};
use super::*;
use crate::keys::{PersonKey, bucket_of};

/// The keys of some people: (person, scope, part).
type Keys = Vec<(u8, usize, u8)>;

fn key((person, scope, part): (u8, usize, u8)) -> PersonKey {
    let scope = Scope::ALL[scope % Scope::ALL.len()];
    let part = if part == 0 { ScopePart::all() } else { ScopePart::try_from(format!("p-{part}")).unwrap() };
    PersonKey { data_subject: DataSubject(Uuid::from_u128(u128::from(person))), scope, part, generation: 1 }
}

fn commitment(key: &PersonKey) -> [u8; 32] {
    value(&value(key.to_string().as_bytes()[..32].try_into().unwrap()))
}

struct Map {
    upper: Upper,
    open: Open,
}

fn map(keys: impl IntoIterator<Item = PersonKey>) -> Map {
    let mut buckets: BTreeMap<u16, Vec<PersonKey>> = BTreeMap::new();
    for key in keys {
        buckets.entry(bucket_of(key.data_subject)).or_default().push(key);
    }
    let mut map = Map { upper: Upper::default(), open: Open::new() };
    for (bucket, keys) in buckets {
        let leaves = Leaves::of(keys.iter().map(|key| (key, commitment(key))));
        map.upper.set(bucket, leaves.root());
        map.open.insert(bucket, leaves);
    }
    map
}

/// The proof, with no more buckets opened than it asks for.
fn prove(map: &Map, named: &[Named]) -> (Removal, usize) {
    let mut open = Open::new();
    for (target, _) in named {
        let bucket = bucket_of(target.data_subject);
        open.insert(bucket, map.open.get(&bucket).cloned().unwrap_or_default());
    }
    loop {
        match removal(&map.upper, &open, named) {
            Ok(proof) => return (proof, open.len()),
            Err(Needs(bucket)) => {
                assert!(open.insert(bucket, map.open[&bucket].clone()).is_none(), "asked for twice");
            }
        }
    }
}

fn scope_of(person: u8, scope: usize) -> Named {
    let key = key((person, scope, 0));
    (Target { data_subject: key.data_subject, scope: key.scope, part: None }, 1)
}

fn is_named(named: &[Named], key: &PersonKey) -> bool {
    named.iter().any(|(target, _)| {
        (target.data_subject, target.scope) == (key.data_subject, key.scope)
            && target.part.as_ref().is_none_or(|part| *part == key.part)
    })
}

/// All leaves in one tree, without buckets.
fn naive(keys: &[PersonKey]) -> Hash {
    Leaves::of(keys.iter().map(|key| (key, commitment(key)))).root()
}

fn keys() -> impl Strategy<Value = Keys> {
    proptest::collection::vec((0_u8..40, 0_usize..4, 0_u8..4), 0..120)
}

proptest! {
    #[test]
    fn the_root_of_the_buckets_is_the_root_of_all_leaves(keys in keys()) {
        let keys: Vec<_> = keys.into_iter().map(key).collect();
        prop_assert_eq!(map(keys.clone()).upper.root(), naive(&keys));
    }

    #[test]
    fn what_was_named_went_and_nothing_else_changed(keys in keys(), gone in proptest::collection::vec((0_u8..40, 0_usize..4), 0..8)) {
        let keys: Vec<_> = keys.into_iter().map(key).collect();
        let named: Vec<_> = gone.into_iter().map(|(person, scope)| scope_of(person, scope)).collect();
        let (before, after) = (map(keys.clone()), map(keys.iter().filter(|key| !is_named(&named, key)).cloned()));
        let (proof, _) = prove(&before, &named);
        let held: Vec<bool> = named.iter().map(|one| keys.iter().any(|key| is_named(std::slice::from_ref(one), key))).collect();
        let (before, after) = (before.upper.root(), after.upper.root());
        prop_assert_eq!(proof.check(&before, &after, &named), Ok(held));
        prop_assert_eq!(Removal::decode(&proof.encode()), Ok(proof));
    }

    /// However the rest changed besides: no proof that can be made from the old tree leads to the new root.
    #[test]
    fn nobody_else_can_be_removed_changed_or_added(keys in keys(), person in 0_u8..40, other in (0_u8..40, 0_usize..4, 0_u8..4), kind in 0_u8..3) {
        let named = [scope_of(person, 0)];
        let mut keys: Vec<_> = keys.into_iter().map(key).collect();
        let other = key(other);
        prop_assume!(!is_named(&named, &other));
        keys.retain(|key| *key != other);
        let mut old = keys.clone();
        if kind != 2 {
            old.push(other.clone());
        }
        let before = map(old);
        let mut after = map(keys.iter().filter(|key| !is_named(&named, key)).cloned());
        if kind == 1 || kind == 2 {
            let bucket = bucket_of(other.data_subject);
            let mut leaves = after.open.get(&bucket).cloned().unwrap_or_default();
            leaves.map().insert(place(&other), [9; 32]);
            after.upper.set(bucket, leaves.root());
        }
        let (proof, _) = prove(&before, &named);
        prop_assert_eq!(proof.check(&before.upper.root(), &after.upper.root(), &named), Err(ProofFault::After));
        // A proof that names the other one as well says so, and is none for this name.
        let both = [named[0].clone(), (Target { data_subject: other.data_subject, scope: other.scope, part: None }, 1)];
        let (wider, _) = prove(&before, &both);
        prop_assert!(wider.check(&before.upper.root(), &after.upper.root(), &named).is_err());
    }

    #[test]
    fn no_flipped_bit_goes_unseen(keys in keys(), bit in 0_usize..1_000_000) {
        let mut keys: Vec<_> = keys.into_iter().map(key).collect();
        keys.push(key((1, 0, 0)));
        let named = [scope_of(1, 0), scope_of(1, 1)];
        let before = map(keys.clone());
        let after = map(keys.iter().filter(|key| !is_named(&named, key)).cloned()).upper.root();
        let mut bytes = prove(&before, &named).0.encode();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let checked = Removal::decode(&bytes).and_then(|proof| proof.check(&before.upper.root(), &after, &named));
        prop_assert!(checked.is_err());
    }
}

#[test]
fn one_part_is_redacted_alone() {
    let all: Vec<_> = [(1, 4, 0), (1, 4, 1), (1, 4, 2), (2, 4, 1)].map(key).to_vec();
    let gone = key((1, 4, 1));
    let target = Target { data_subject: gone.data_subject, scope: gone.scope, part: Some(gone.part.clone()) };
    let named = [(target, 2)];
    let (before, after) = (map(all.clone()), map(all.iter().filter(|key| **key != gone).cloned()));
    let (proof, _) = prove(&before, &named);
    assert_eq!(proof.check(&before.upper.root(), &after.upper.root(), &named), Ok(vec![true]));
    let wrong = map(all.iter().filter(|key| key.scope != gone.scope).cloned()).upper.root();
    assert_eq!(proof.check(&before.upper.root(), &wrong, &named), Err(ProofFault::After));
}

/// A tree in which something named hides on the wrong side of a node: no honest platform makes one, so no proof may pass.
#[test]
fn what_hides_in_a_malformed_tree_is_found() {
    let named = [scope_of(1, 0)];
    let hidden = (place(&key((1, 0, 0))), [1; 32]);
    let removed = (place(&key((1, 0, 1))), [2; 32]);
    let hidden_hash = leaf_hash(&hidden.0, &hidden.1);
    // The true prefix of the removed one, and the hidden one as a hash on the side where it does not belong.
    let prefix = Prefix::of(&removed.0, 5);
    let is_right = super::super::bit(&removed.0, 5);
    let sides = |hidden: Part| {
        let removed = Part::Leaf(removed.0, removed.1);
        Box::new(if is_right { (hidden, removed) } else { (removed, hidden) })
    };
    let check = |part: Part| {
        let before = match &part {
            Part::Branch(prefix, sides) => {
                let hash = |part: &Part| match part {
                    Part::Hash(hash) => *hash,
                    Part::Leaf(place, value) => leaf_hash(place, value),
                    Part::Empty | Part::Branch(..) => EMPTY,
                };
                branch_hash(5, &prefix.bits, &hash(&sides.0), &hash(&sides.1))
            }
            _ => EMPTY,
        };
        Removal(part).check(&before, &hidden_hash, &named)
    };
    assert_eq!(check(Part::Branch(prefix, sides(Part::Hash(hidden_hash)))), Err(ProofFault::Closed));
    assert_eq!(check(Part::Branch(prefix, sides(Part::Leaf(hidden.0, hidden.1)))), Err(ProofFault::Place));
}

/// A wider subtree in the place of the named one would take others with it.
#[test]
fn a_wider_subtree_cannot_stand_for_the_named_one() {
    let all: Vec<_> = (0..50).map(|person| key((person, 0, 0))).collect();
    let before = map(all);
    let root = before.upper.root();
    let named = [scope_of(1, 0)];
    assert_eq!(Removal(Part::Hash(root)).check(&root, &EMPTY, &named), Err(ProofFault::Closed));
    let (proof, _) = prove(&before, &named);
    fn close(part: &mut Part, is_root: bool) -> bool {
        match part {
            Part::Branch(_, sides) => {
                if close(&mut sides.0, false) || close(&mut sides.1, false) {
                    return true;
                }
                if !is_root {
                    *part = Part::Hash([5; 32]);
                }
                !is_root
            }
            _ => false,
        }
    }
    let mut closed = proof.clone();
    assert!(close(&mut closed.0, true));
    assert_eq!(closed.check(&root, &EMPTY, &named), Err(ProofFault::Closed));
}

/// 100 000 keys: a proof for a whole person, with five scopes and thirty values of their own.
#[test]
fn a_proof_is_small_and_opens_few_buckets() {
    let mut keys: Vec<_> = (0..20_000_u32)
        .flat_map(|person| (0..5).map(move |scope| (person, scope)))
        .map(|(person, scope)| PersonKey {
            data_subject: DataSubject(Uuid::from_u128(u128::from(person))),
            ..key((0, scope, 0))
        })
        .collect();
    keys.extend((1..30).map(|part| key((7, 4, part))));
    let named: Vec<_> = (0..6).map(|scope| scope_of(7, scope)).collect();
    let before = map(keys.iter().cloned());
    let after = map(keys.iter().filter(|key| !is_named(&named, key)).cloned());
    let (proof, opened) = prove(&before, &named);
    let held = proof.check(&before.upper.root(), &after.upper.root(), &named).unwrap();
    assert_eq!(held, [true, true, true, true, true, false]);
    assert!(proof.encode().len() < 2_000, "{} bytes", proof.encode().len());
    assert!(opened <= 2, "{opened} buckets");
}

/// `infra/vectors/key-map.json`: keys by id with their commitments, the root, what is named, the root without it, the proof.
#[test]
fn the_example_of_the_format_page_holds() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/key-map.json");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let keys: Vec<_> = (0..4).flat_map(|person| [(person, 3, 0), (person, 4, 1), (person, 4, 2)]).map(key).collect();
    let named = [scope_of(2, 3), scope_of(2, 4), scope_of(2, 0)];
    let (before, after) = (map(keys.clone()), map(keys.iter().filter(|key| !is_named(&named, key)).cloned()));
    let commitments: BTreeMap<_, _> = keys.iter().map(|key| (key.to_string(), hex(&commitment(key)))).collect();
    let names: Vec<_> = named.iter().map(|(target, _)| format!("{}/{}", target.data_subject, target.scope)).collect();
    let vector = serde_json::json!({
        "keys": commitments,
        "before": hex(&before.upper.root()),
        "emptied": names,
        "after": hex(&after.upper.root()),
        "proof": hex(&prove(&before, &named).0.encode()),
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&vector).unwrap());
    if std::env::var_os("LETHE_WRITE_VECTORS").is_some() && !std::path::Path::new(file).exists() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap());
}

#[test]
fn of_an_empty_map_nothing_is_removed() {
    let before = map([]);
    for named in [vec![], vec![scope_of(1, 0)]] {
        let (proof, _) = prove(&before, &named);
        assert_eq!(proof.check(&EMPTY, &EMPTY, &named), Ok(vec![false; named.len()]));
        assert_eq!(Removal::decode(&proof.encode()), Ok(proof));
    }
}
