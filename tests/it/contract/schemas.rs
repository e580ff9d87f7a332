//! Of two types under one name only one is described, and whoever builds on the other is misled.

use std::collections::BTreeMap;

use super::{description, root, sources};

/// The names under which the types of a source are described: those that derive `ToSchema`, and the ids that a macro makes.
fn names_in(source: &str) -> Vec<String> {
    let first_word =
        |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned();
    let mut names = Vec::new();
    for derive in source.split("derive(").skip(1) {
        let Some((derived, rest)) = derive.split_once(')') else { continue };
        let keyword = ["struct ", "enum "].into_iter().filter_map(|word| Some((rest.find(word)?, word))).min();
        let Some((at, word)) = keyword.filter(|_| derived.contains("ToSchema")) else { continue };
        let other = rest[..at].split_once("schema(as = ").map(|(_, name)| first_word(name));
        names.push(other.unwrap_or_else(|| first_word(&rest[at + word.len()..])));
    }
    for ids in ["text_ids! {\n", "uuid_ids! {\n"] {
        let Some((_, ids)) = source.split_once(ids) else { continue };
        let lines = ids.lines().take_while(|line| *line != "}").filter(|line| line.contains(" = \""));
        names.extend(lines.map(|line| first_word(line.trim())));
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn names_are_found_in_source() {
    let source = "#[derive(Debug, ToSchema)]\n#[serde(x)]\npub struct One { a: u8 }\n#[derive(Debug)]\nstruct Two;\n\
                  #[derive(ToSchema)]\n#[schema(as = Third)]\npub enum Three {}\ntext_ids! {\n    /// A.\n    Four = \"x\", 3;\n}\n";
    assert_eq!(names_in(source), ["One", "Third", "Four"]);
}

#[test]
fn no_two_types_are_described_under_one_name() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for folder in
        ["domain/src", "edge/src", "command-svc/src", "projection-svc/src", "query-api/src", "door/src", "lethe/src"]
    {
        sources(&root().join(folder), &mut |source| {
            names_in(source).into_iter().for_each(|name| *found.entry(name).or_default() += 1);
        });
    }
    let described = description();
    let schemas = described["components"]["schemas"].as_object().expect("schemas");
    assert!(schemas.len() > 100 && found.len() > 100, "the sources are read");
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).map(|(name, _)| name).collect();
    assert_eq!(twice, Vec::<&String>::new(), "`#[schema(as = …)]` gives one of them another name");
    let codes = &schemas["CodeListDef"]["properties"]["codes"]["items"]["$ref"];
    assert_eq!(codes, "#/components/schemas/CodeListEntry", "an entry of a list is not the code of an arm");
}
