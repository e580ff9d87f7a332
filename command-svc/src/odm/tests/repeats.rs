use super::super::repeats::occurrences;

/// The occurrences of keys of one scope; a star where the key itself did not say so.
fn numbers(keys: &[Option<&str>]) -> Vec<String> {
    let keys: Vec<_> = keys.iter().map(|key| ((), key.map(str::to_owned))).collect();
    let found = occurrences(&keys);
    let show = |key| {
        let occurrence: &super::super::repeats::Occurrence = &found[key];
        format!("{}{}", occurrence.number, if occurrence.counted { "*" } else { "" })
    };
    keys.iter().map(show).collect()
}

#[test]
fn keys_that_are_numbers_keep_them_and_others_follow() {
    let cases: &[(&[Option<&str>], &[&str])] = &[
        (&[None], &["1"]),
        (&[None, None, Some("1")], &["1", "1", "1"]),
        (&[Some("2"), Some("1")], &["2", "1"]),
        (&[Some("b"), Some("a"), Some("b")], &["1*", "2*", "1*"]),
        (&[Some("late"), Some("5")], &["6*", "5"]),
        (&[Some("0"), Some("1"), Some("2")], &["3*", "1", "2"]),
        (&[Some("01"), Some("1")], &["1", "2*"]),
        (&[Some("-1"), Some("1.5"), Some("")], &["1*", "2*", "3*"]),
        (&[Some("4294967296"), Some("4294967295"), Some("1000000")], &["1000001*", "1000002*", "1000000"]),
    ];
    for (keys, expected) in cases {
        assert_eq!(numbers(keys), *expected, "{keys:?}");
    }
}

#[test]
fn no_two_keys_get_the_same_occurrence() {
    let keys: Vec<String> = (0..40).map(|n| format!("{:02}", n % 25)).chain((0..25).map(|n| n.to_string())).collect();
    let found = occurrences(&keys.iter().map(|key| ((), Some(key.clone()))).collect::<Vec<_>>());
    let numbers: std::collections::BTreeSet<u32> = found.values().map(|occurrence| occurrence.number).collect();
    assert_eq!(numbers.len(), found.len());
}

#[test]
fn every_scope_counts_for_itself() {
    let keys = [("a", Some("x".to_owned())), ("b", Some("y".to_owned()))];
    assert!(occurrences(&keys).values().all(|occurrence| occurrence.number == 1));
}
