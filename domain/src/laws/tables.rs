//! The tables that must be whole: who may send what, and what stands where.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use super::command_names;
use crate::decider::Command;
use crate::permit::{COMMANDS, Role};

/// The names of all commands of a type, as its own reader lists them.
pub(super) fn names_of<C: Command>() -> BTreeSet<String> {
    let Err(error) = serde_json::from_value::<C>(json!({ "type": "unheard of" })) else {
        panic!("there is no such command")
    };
    let text = error.to_string();
    let (_, known) = text.split_once("expected ").expect("serde says what it expected");
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_command_has_its_row_in_the_table_of_permissions_and_no_row_is_stale() {
    let rows: BTreeSet<String> = COMMANDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let commands: BTreeSet<String> = command_names()
        .into_iter()
        .flat_map(|(aggregate, names)| names.into_iter().map(move |name| format!("{}.{name}", aggregate.as_str())))
        .collect();
    assert_eq!(rows, commands);
    assert!(COMMANDS.iter().all(|(_, roles)| !roles.is_empty()), "a command that nobody may send");
}

#[test]
fn the_platforms_own_commands_are_nobody_elses() {
    for own in ["fence", "restrict", "record-progress", "record-randomisation", "assign-slot", "claim", "key"] {
        for (name, roles) in COMMANDS.iter().filter(|(name, _)| name.ends_with(&format!(".{own}"))) {
            assert_eq!(*roles, [Role::System], "{name}");
        }
    }
}

/// `UPDATE_GOLDEN=1 cargo test -p domain data_map` writes the file anew; look at the difference before you commit it.
#[test]
fn the_data_map_is_the_one_that_was_reviewed() {
    let mut map = String::from("# aggregate | fact | field | scope. Generated from the types: see laws/tables.rs.\n");
    for row in crate::data_map() {
        writeln!(map, "{:<12} {:<24} {:<28} {}", row.aggregate, row.event, row.field, row.scope).expect("to a string");
    }
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/data-map.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &map).expect("the data map can be written");
    }
    println!("{map}");
    let reviewed = std::fs::read_to_string(golden).expect("domain/data-map.txt is there");
    assert_eq!(map, reviewed, "a personal field was added, removed or moved: review it and update the file");
}
