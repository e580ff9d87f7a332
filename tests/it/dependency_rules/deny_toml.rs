//! Reads the three lists of `deny.toml` that the rules here repeat. Not a TOML reader: it counts on that file's form,
//! one entry a line, and panics where a line has another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What `deny.toml` says.
pub(super) struct DenyToml {
    /// `[licenses] allow`.
    pub(super) licences: BTreeSet<String>,
    /// `[bans] deny`: the library and its wrappers.
    pub(super) wrappers: BTreeMap<String, Vec<String>>,
    /// `[bans] skip`: `name@version`.
    pub(super) skipped: BTreeSet<String>,
}

impl DenyToml {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("deny.toml is readable");
        let mut read = Self { licences: BTreeSet::new(), wrappers: BTreeMap::new(), skipped: BTreeSet::new() };
        let (mut section, mut list) = (String::new(), None);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) =
                line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|_| list.is_none())
            {
                section = name.to_owned();
            } else if let Some(key) = line.strip_suffix(" = [") {
                list = Some(format!("{section}.{key}"));
            } else if line == "]" {
                list = None;
            } else if let Some(list) = &list {
                read.entry(list, line);
            }
        }
        read
    }

    fn entry(&mut self, list: &str, line: &str) {
        let quoted: Vec<_> = line.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(!quoted.is_empty(), "one entry a line in {list}: {line}");
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name} = "))?;
            let end = if rest.starts_with('[') { rest.find(']') } else { rest[1..].find('"').map(|at| at + 1) };
            Some(&rest[..=end.unwrap_or_else(|| panic!("{name} is not closed in {list}: {line}"))])
        };
        let words = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        match list {
            "licenses.allow" => self.licences.extend(quoted),
            "bans.skip" => self.skipped.extend(field("crate").map(words).expect("a crate")),
            "bans.deny" => {
                let library = field("crate").map(words).expect("a crate").remove(0);
                self.wrappers.insert(library, field("wrappers").map(words).unwrap_or_default());
            }
            _ => {}
        }
    }
}
