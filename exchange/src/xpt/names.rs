//! Names that SAS takes: eight characters, letters, digits and underscores, no digit first.

use std::collections::BTreeSet;

use crate::table::Table;

/// Names given so far.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A free name for this one: the same if it fits, otherwise shortened and numbered.
    pub(super) fn give(&mut self, wanted: &str) -> String {
        let plain = plain(wanted);
        let numbered = (1..).map(|n: u64| n.to_string()).map(|n| format!("{}{n}", short(&plain, 8 - n.len().min(7))));
        let whole = std::iter::once(short(&plain, 8).to_owned());
        let name = whole.chain(numbered).find(|name| !self.0.contains(name)).unwrap_or_default();
        self.0.insert(name.clone());
        name
    }
}

fn plain(wanted: &str) -> String {
    let upper: String =
        wanted.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if upper.starts_with(|c: char| c.is_ascii_digit()) || upper.is_empty() { format!("_{upper}") } else { upper }
}

fn short(name: &str, length: usize) -> &str {
    &name[..length.min(name.len())]
}

/// Names of datasets, one for each table, in order.
pub fn dataset_names<'t>(tables: impl IntoIterator<Item = &'t Table>) -> Vec<String> {
    let mut names = Names::default();
    tables.into_iter().map(|table| names.give(table.oid.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_never_given_twice() {
        let mut names = Names::default();
        let wanted = ["SYSBP", "sysbp", "I.HEART.RATE", "I.HEART.RHYTHM", "1ST", "ÄRGER", "VITALSIGNS10"];
        let given: Vec<_> = wanted.iter().map(|name| names.give(name)).collect();
        assert_eq!(given, ["SYSBP", "SYSBP1", "I_HEART_", "I_HEART1", "_1ST", "_RGER", "VITALSIG"]);
    }
}
