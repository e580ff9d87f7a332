//! The names of ODM's elements. A `<` in a value that nobody escaped makes an element of what follows it, so only a
//! name that ODM knows is ever repeated in an error or a report.

/// The name for people: as it stands, if ODM knows it.
pub(super) fn named(name: &str) -> &str {
    let local = name.rsplit(':').next().unwrap_or(name);
    if is_known(local) { local } else { "an unknown element" }
}

/// Whether ODM has an element of this name.
pub(super) fn is_known(name: &str) -> bool {
    super::demands::knows(name)
}

#[test]
fn only_names_of_odm_are_repeated() {
    assert_eq!((named("odm:ItemData"), named("Lovelace")), ("ItemData", "an unknown element"));
}
