//! `docs/traps.md` says which test proves that a known trap is no trap here. The tests must be there.

use std::collections::BTreeSet;
use std::path::Path;

/// How many rows each table has: the traps that are known.
const ROWS: [usize; 2] = [22, 12];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The rows of each table, without its head: number and tests.
fn tables(page: &str) -> Vec<Vec<(usize, Vec<&str>)>> {
    page.split("\n## ").skip(1).map(|part| part.lines().filter_map(table_row).collect()).collect()
}

fn table_row(line: &str) -> Option<(usize, Vec<&str>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let tests = cells.last()?.split('`').skip(1).step_by(2).collect();
    Some((cells.first()?.trim().parse().ok()?, tests))
}

/// Every function of the sources that stands below a `#[…test…]`.
fn tests_of(folder: &Path, found: &mut BTreeSet<String>) {
    for path in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            tests_of(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            found.extend(tests_in(&text));
        }
    }
}

fn tests_in(source: &str) -> Vec<String> {
    let (mut found, mut is_test, mut is_ignored) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim_start) {
        let function = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
        if line.starts_with("#[") {
            is_test |= line.contains("test");
            is_ignored |= line.contains("ignore");
        } else if let Some(name) = function.and_then(|rest| rest.split('(').next()) {
            found.extend((is_test && !is_ignored).then(|| name.to_owned()));
            (is_test, is_ignored) = (false, false);
        }
    }
    found
}

#[test]
fn every_known_trap_has_its_tests_and_they_are_there() {
    let page = std::fs::read_to_string(root().join("docs/traps.md")).expect("the page");
    let mut there = BTreeSet::new();
    for folder in std::fs::read_dir(root()).expect("the workspace").flatten().map(|entry| entry.path()) {
        if folder.join("Cargo.toml").exists() {
            tests_of(&folder, &mut there);
        }
    }
    let tables = tables(&page);
    assert_eq!(tables.len(), ROWS.len());
    let mut wrong = Vec::new();
    for (table, rows) in tables.iter().zip(ROWS) {
        assert_eq!(table.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=rows).collect::<Vec<_>>());
        for (number, tests) in table {
            if tests.is_empty() {
                wrong.push(format!("row {number} has no test"));
            }
            wrong.extend(
                tests.iter().filter(|test| !there.contains(**test)).map(|test| format!("row {number}: {test}")),
            );
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "no such tests");
}

#[test]
fn a_function_counts_only_as_a_test_that_is_run() {
    let source =
        "#[tokio::test(flavor = \"x\")]\nasync fn one() {\n#[test]\n#[ignore]\nfn two() {\n#[expect(x)]\nfn three() {";
    assert_eq!(tests_in(source), ["one"]);
}
