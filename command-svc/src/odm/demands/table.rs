//! The tables: one element a line.

use std::collections::BTreeMap;

/// What ODM demands of an element.
pub(super) struct Demand {
    pub(super) attributes: Vec<Attribute>,
    pub(super) parts: Vec<Part>,
}

pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) needed: bool,
    pub(super) words: Words,
}

/// What may stand in an attribute.
pub(super) enum Words {
    Any,
    Some,
    Number,
    /// A whole number from `0` or `1` up.
    From(u8),
    Decimal,
    Moment,
    Of(Vec<&'static str>),
}

/// What may stand once only within an element (`xs:unique` of the schemas): its name there, which children (none: all),
/// and the attributes that make one of them.
pub(super) struct Unique {
    pub(super) name: &'static str,
    pub(super) child: Option<&'static str>,
    pub(super) fields: Vec<&'static str>,
}

/// The table of those: element, name, child, attributes.
pub(super) fn uniques(text: &'static str) -> BTreeMap<&'static str, Vec<Unique>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or_default();
        let (element, name, child) = (next(), next(), Some(next()).filter(|child| *child != "*"));
        all.entry(element).or_default().push(Unique { name, child, fields: words.collect() });
    }
    all
}

/// One part of an element's content: elements that may stand there, in branches of which only one is taken.
pub(super) struct Part {
    pub(super) branches: Vec<Vec<&'static str>>,
    pub(super) needed: bool,
    pub(super) many: bool,
}

impl Part {
    /// Its elements, for people.
    pub(super) fn words(&self) -> String {
        let names: Vec<_> = self.branches.iter().flatten().copied().collect();
        match names.as_slice() {
            [first, .., last] if names.len() > 4 => format!("{first} … {last}"),
            names => names.join(" or "),
        }
    }
}

pub(super) fn parse(text: &'static str) -> BTreeMap<&'static str, Demand> {
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

fn line(line: &'static str) -> (&'static str, Demand) {
    let mut fields = line.splitn(3, ';').map(str::trim);
    let mut next = || fields.next().unwrap_or_default();
    let (name, attributes, parts) = (next(), next(), next());
    let attributes = attributes.split_whitespace().map(attribute).collect();
    (name, Demand { attributes, parts: parts.split_whitespace().map(part).collect() })
}

fn attribute(token: &'static str) -> Attribute {
    let (name, words) = token.split_once('=').unwrap_or((token, ""));
    let words = match words {
        "" => Words::Any,
        "+" => Words::Some,
        "#" => Words::Number,
        "#0" => Words::From(0),
        "#1" => Words::From(1),
        "#." => Words::Decimal,
        "@" => Words::Moment,
        words => Words::Of(words.split('|').collect()),
    };
    Attribute { name: name.trim_end_matches('!'), needed: name.ends_with('!'), words }
}

fn part(token: &'static str) -> Part {
    let names = token.trim_end_matches(['?', '*', '+']);
    let often = &token[names.len()..];
    let branches = names.split('|').map(|branch| branch.split(',').collect()).collect();
    Part { branches, needed: matches!(often, "" | "+"), many: matches!(often, "*" | "+") }
}
