use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::{design, oid};

fn compiled(text: &str) -> Result<Compiled, String> {
    let (form, item) = (oid("VS"), oid("SYSBP"));
    design().compile(text, Here { form: Some(&form), item: Some(&item) })
}

fn run(text: &str, there: &[(&str, Seen)]) -> Outcome {
    let there: BTreeMap<_, _> = there.iter().cloned().collect();
    let compiled = compiled(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    compiled.run(&mut |read| {
        let (name, kind) = match read {
            Read::Item(item) | Read::At { item, .. } => (item.to_string(), design().type_of(item)),
            Read::VisitDate(_) => ("day".to_owned(), Some(Type::Text)),
            Read::Value => ("SYSBP".to_owned(), Some(Type::Number)),
        };
        (there.get(name.as_str()).cloned().unwrap_or(Seen::Missing), kind.expect("known"))
    })
}

fn known(text: &str) -> Seen {
    Seen::Known(text.to_owned())
}

#[test]
fn an_expression_has_a_value_where_all_that_decides_is_known() {
    let on = [("SYSBP", known("120")), ("AETERM", known("none")), ("day", known("2026-03-01"))];
    let cases = [
        ("item(\"SYSBP\") > 100", true),
        ("value > 100 && value <= 120", true),
        ("item(\"SYSBP\") / 7 > 17.14", true),
        ("1 / 2 == 0.5", true),
        ("value in [119, 121]", false),
        ("item(\"AETERM\") == 'none' ? value < 130 : false", true),
        ("at(\"V1\", \"VS\", \"SYSBP\") != 120", false),
        ("days(visit_date(), '2026-03-11') == 10", true),
        ("days(visit_date(\"V1\"), '2026-02-27') == -2", true),
        ("years('2008-03-02', visit_date()) == 17", true),
        ("years('2008-03-01', visit_date()) == 18", true),
        ("years('2004-02-29', '2022-02-28') == 17", true),
        ("round(2.5, 0) == 3 && round(-2.5, 0) == -3 && round(1.005, 2) == 1.01", true),
        ("min(1, 2) + max(1, 2) == abs(-3)", true),
        ("length(item(\"AETERM\")) == 4 && item(\"AETERM\").startsWith('no')", true),
        ("number('7.5') * 2 == 15", true),
        ("known(value) && !not_done(value)", true),
    ];
    for (text, truth) in cases {
        assert_eq!(run(text, &on), Outcome::Is(Answer::Truth(truth)), "{text}");
    }
}

#[test]
fn what_is_not_there_makes_it_not_evaluable_unless_the_rest_decides() {
    let erased = [("SYSBP", Seen::Erased)];
    assert_eq!(run("value > 100", &[]), Outcome::Missing);
    assert_eq!(run("value > 100", &[("SYSBP", Seen::NotDone)]), Outcome::Missing);
    assert_eq!(run("value > 100", &erased), Outcome::Erased);
    assert_eq!(run("known(value)", &erased), Outcome::Erased, "an erasure must not look like a value never entered");
    assert_eq!(run("not_done(value)", &erased), Outcome::Erased);
    assert_eq!(run("not_done(value)", &[("SYSBP", Seen::NotDone)]), Outcome::Is(Answer::Truth(true)));
    assert_eq!(run("!known(value) || value > 100", &[]), Outcome::Is(Answer::Truth(true)));
    assert_eq!(run("item(\"AETERM\") == 'x' || value > 1", &[("SYSBP", known("2"))]), Outcome::Is(Answer::Truth(true)));
    assert_eq!(run("1 / 0 > 1 && value > 1", &[("SYSBP", known("2"))]), Outcome::Is(Answer::Truth(true)));
    assert_eq!(run("1 / 0", &[]), Outcome::Undefined);
    assert_eq!(run("days('2026', '2026-01-01')", &[]), Outcome::Undefined);
    assert_eq!(run("value > 1", &[("SYSBP", known("12345678901234567"))]), Outcome::Undefined);
}

#[test]
fn what_does_not_fit_the_design_or_the_language_is_a_fault() {
    let deep = format!("{}1{} > 0", "(".repeat(40), ")".repeat(40));
    let row = format!("1{} > 0", " + 1".repeat(300));
    let long = format!("value > 1{}", " ".repeat(2000));
    let signs = format!("{}true", "!".repeat(40));
    let cases = [
        ("value >", "line 1"),
        ("item(\"UNHEARD\") > 1", "UNHEARD"),
        ("at(\"V9\", \"VS\", \"SYSBP\") > 1", "V9"),
        ("visit_date(\"V9\") > '2026'", "V9"),
        ("SYSBP > 1", "no variable SYSBP"),
        ("item(value) > 1", "OID in quotes"),
        ("[1, 2].all(x, x > 0)", "no loops"),
        ("[1, 2].exists(x, x > 0)", "no loops"),
        ("size([1].map(x, x)) > 0", "no loops"),
        ("value > 'a'", "does not take"),
        ("item(\"AETERM\") == 1", "does not take"),
        ("value in ['a']", "other things"),
        ("known(1)", "takes item"),
        ("value.foo", "fields"),
        ("{'a': 1}", "maps"),
        ("null == value", "null"),
        ("matches('a', 'b')", "does not take"),
        ("'Größe' == 'a'", "ASCII"),
        (&deep, "deep"),
        (&row, "in a row"),
        (&long, "bytes"),
        (&signs, "deep"),
    ];
    for (text, what) in cases {
        let fault = compiled(text).expect_err(text);
        assert!(fault.contains(what), "{text}: {fault}");
    }
}

#[test]
fn the_largest_expressions_need_little_stack() {
    let many = ["1 + ", "value > 1 && ", "true ? true : "];
    let rows =
        many.map(|one| one.repeat((LENGTH_MAX - 10) / one.len()) + if one.starts_with('1') { "1" } else { "true" });
    let brackets = "[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX);
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let all = rows.into_iter().chain([brackets, "-".repeat(LENGTH_MAX), ".a".repeat(LENGTH_MAX / 2)]);
    let work = thread.spawn(move || {
        for text in all {
            if let Ok(compiled) = compiled(&text) {
                compiled.run(&mut |_| (known("2"), Type::Number));
            }
        }
    });
    work.expect("a thread").join().expect("no overflow");
}

/// Pieces of the language, good and bad, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "value",
        "item(\"SYSBP\")",
        "item(\"AETERM\")",
        "1",
        "-1",
        "2.5",
        "1e308",
        "'a'",
        "\"",
        "'",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "?",
        ":",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "<",
        "==",
        " in ",
        ",",
        ".",
        ".all(x, ",
        "has(",
        "days(",
        "round(",
        "0x",
        "u",
        "b'",
        "r'",
        "\\",
        "\\u",
        "9999999999999999999999",
        "//",
        "\n",
        "`",
        "$",
        ";",
        "true",
        "null",
        "known(",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever stands there: an answer, never a panic and never a value in a fault.
    #[test]
    fn no_text_brings_it_down(text in prop_oneof![pieces(), "[ -~]{0,60}", "\\PC{0,20}"], value in "-?[0-9]{1,20}") {
        if let Ok(compiled) = compiled(&text) {
            let outcome = compiled.run(&mut |_| (Seen::Known(value.clone()), Type::Number));
            prop_assert_eq!(&outcome, &compiled.run(&mut |_| (Seen::Known(value.clone()), Type::Number)));
        }
    }
}
