//! Files that must be refused: with a clear error, at the right place, without a panic and without a value.

use std::io::BufReader;

use proptest::prelude::*;

use super::super::{Limits, Mode, OdmError, read_design, survey};
use super::{CLINICAL, DESIGN, all_of, clinical, design};

const HEAD: &str = r#"<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ODMVersion="1.3.2">"#;

#[track_caller]
fn refused(text: &str, expected: &str) {
    let design =
        read_design(text.as_bytes(), &Limits::default(), Mode::Lenient).map(|_| ()).expect_err("a design").to_string();
    let data = survey(text.as_bytes(), &Limits::default()).map(|_| ()).expect_err("data").to_string();
    assert!(design.contains(expected), "{text:.60}: {design}");
    assert!(data.contains(expected), "{text:.60}: {data}");
}

#[test]
fn what_is_not_odm_is_refused() {
    let cases = [
        ("", "line 1, column 1): it holds no XML element"),
        ("  \n\n", "it holds no XML element"),
        ("subject,age\n1,72\n", "it does not begin with an XML element"),
        ("{\"ODM\": 1}", "it does not begin with an XML element"),
        ("PK\u{3}\u{4}", "XML does not allow"),
        ("<html><body/></html>", "its root element is html in another namespace"),
        ("<ODM/>", "its root element is ODM in another namespace than http://www.cdisc.org/ns/odm/v1.3"),
        (r#"<Study xmlns="http://www.cdisc.org/ns/odm/v1.3"/>"#, "its root element is Study, not ODM"),
        (r#"<?xml version="1.0" encoding="ISO-8859-1"?><ODM/>"#, "it is in the encoding ISO-8859-1: save it in UTF-8"),
        ("\u{FEFF}\n<a/>", "line 2, column 1): its root element is a"),
    ];
    for (text, expected) in cases {
        refused(text, expected);
    }
    let wide: Vec<u8> = DESIGN.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = read_design(wide.as_slice(), &Limits::default(), Mode::Lenient).expect_err("UTF-16").to_string();
    assert!(error.contains("it is not in UTF-8"), "{error}");
    let error =
        read_design(&[0xE4, 0xF6, 0xFC][..], &Limits::default(), Mode::Lenient).expect_err("no text").to_string();
    assert!(error.contains("it is not in UTF-8"), "{error}");
}

#[test]
fn other_versions_are_named() {
    for (namespace, version, named) in [
        ("v2.0", Some("2.1"), "ODM 2.1 is not yet supported"),
        ("v3.0", None, "ODM 3.0 is not yet supported"),
        ("v1.3", Some("2.0"), "ODM 2.0 is not yet supported"),
        ("v1.2", Some("1.2.1"), "ODM 1.2.1 is not yet supported"),
    ] {
        let version = version.map_or_else(String::new, |version| format!(" ODMVersion=\"{version}\""));
        refused(&format!("<ODM xmlns=\"http://www.cdisc.org/ns/odm/{namespace}\"{version}/>"), named);
    }
}

#[test]
fn a_file_of_the_other_kind_is_told_where_to_go() {
    let error = design(CLINICAL).expect_err("no design").to_string();
    assert!(error.contains("no MetaDataVersion") && error.contains("lethe data import"), "{error}");
    let error = clinical(DESIGN).expect_err("no data").to_string();
    assert!(error.contains("no ClinicalData") && error.contains("lethe study import"), "{error}");
}

#[test]
fn entities_are_refused_before_they_are_expanded() {
    let laughs =
        format!(r#"<!DOCTYPE ODM [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>{HEAD}<Study OID="&b;"/></ODM>"#);
    refused(&laughs, "the file has a DOCTYPE (line 1, column 1)");
    refused(&format!("{HEAD}<Study OID=\"&b;\"/></ODM>"), "a reference to an entity of its own");
    refused(&format!("{HEAD}\n<Study>&b;</Study></ODM>"), "a reference to an entity of its own (line 2, column 8)");
    refused(&format!("{HEAD}<!DOCTYPE x></ODM>"), "a DOCTYPE");
}

#[test]
fn damaged_xml_is_refused_at_its_place() {
    let cases = [
        (
            "\n  <Study></ODM>",
            "damaged inside Study (line 2, column 10): the end of ODM stands where that of Study must stand",
        ),
        ("</ODM></ODM>", "inside the file (line 1, column 72): the end of ODM stands where nothing is open"),
        ("</ODM>text", "text follows the end of the root element"),
        ("</ODM><ODM/>", "a second root element begins"),
        ("<Study a=\"1\" a=\"2\"/></ODM>", "an attribute stands twice"),
        ("<Study a=1/></ODM>", "not as name=\"value\""),
        ("<Study>a & b</Study></ODM>", "an & is not written as &amp;"),
        ("<Study a=\"&#0;\"/></ODM>", "names no character"),
        ("<Study a=\"&#1;\"/></ODM>", "a character that XML does not allow"),
        ("<Study>\u{1}</Study></ODM>", "a character that XML does not allow"),
        ("<!FOO></ODM>", "a < does not begin any markup"),
        ("\nää<Study x:a=\"1\" xmlns:xml=\"urn:other\"/></ODM>", "(line 2, column 3): a namespace is not declared"),
    ];
    for (text, expected) in cases {
        refused(&format!("{HEAD}{text}"), expected);
    }
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    refused(&format!("{HEAD}{}", "<Study>".repeat(100)), "more than 64 deep inside Study");
    let limits = Limits { piece_bytes: 1000, ..Limits::default() };
    for piece in
        [format!("<Study OID=\"{}\"/>", "x".repeat(2000)), "y".repeat(2000), format!("<!--{}-->", "z".repeat(2000))]
    {
        let error = all_of(format!("{HEAD}{piece}</ODM>").as_bytes(), &limits).expect_err("too large");
        assert!(matches!(error, OdmError::TooLarge { limit: 1000, .. }), "{error}");
    }
    let limits = Limits { participant_bytes: 500, ..Limits::default() };
    let error = all_of(CLINICAL.as_bytes(), &limits).expect_err("a large participant").to_string();
    assert!(error.contains("one SubjectData is larger than 500 bytes"), "{error}");
}

#[test]
fn a_design_over_the_limit_is_refused_before_anything_is_built() {
    let limits = Limits { design_bytes: DESIGN.len() as u64, ..Limits::default() };
    read_design(DESIGN.as_bytes(), &limits, Mode::Lenient).expect("it just fits");
    let mut endless = std::io::repeat(b'<');
    let error =
        read_design(BufReader::new(&mut endless), &limits, Mode::Lenient).expect_err("it never ends").to_string();
    assert!(error.starts_with("the study design is larger than"), "{error}");
    let limits = Limits { design_bytes: DESIGN.len() as u64 - 1, ..Limits::default() };
    let error = read_design(DESIGN.as_bytes(), &limits, Mode::Lenient).expect_err("one byte too many");
    assert!(matches!(error, OdmError::TooLarge { .. }), "{error}");
}

#[test]
fn include_and_several_studies_are_refused() {
    let study = r#"<Study OID="S"><MetaDataVersion OID="V" Name="v"/></Study>"#;
    let error = design(&format!("{HEAD}{study}\n{study}</ODM>")).expect_err("two").to_string();
    assert!(error.contains("a second Study begins at line 2, column 1"), "{error}");
    let included = r#"<Study OID="S"><MetaDataVersion OID="V"><Include StudyOID="T" MetaDataVersionOID="W"/></MetaDataVersion></Study>"#;
    let error = design(&format!("{HEAD}{included}</ODM>")).expect_err("a difference").to_string();
    assert!(error.contains("includes another MetaDataVersion"), "{error}");
}

#[test]
fn every_cut_is_noticed() {
    for text in [DESIGN, CLINICAL] {
        let whole = text.trim_end().len();
        for end in 0..text.len() {
            let cut = &text.as_bytes()[..end];
            let design = read_design(cut, &Limits::default(), Mode::Lenient).map(|_| ());
            let data = survey(cut, &Limits::default()).map(|_| ());
            if end < whole {
                let (design, data) = (design.expect_err("cut off"), data.expect_err("cut off"));
                assert_eq!(design, data, "cut after {end} bytes");
                let fits = matches!(design, OdmError::CutOff { .. } | OdmError::NotOdm { .. });
                assert!(fits, "cut after {end} bytes: {design}");
                assert!(end < 200 || matches!(design, OdmError::CutOff { .. }), "cut after {end} bytes: {design}");
            } else {
                assert!(design.is_ok() || data.is_ok(), "only blanks are missing after {end} bytes");
            }
        }
    }
}

#[test]
fn a_cut_says_where_and_in_what() {
    let end = CLINICAL.find("<ItemData ItemOID=\"RATIO\"").expect("it is there");
    let error = clinical(&CLINICAL[..end + 12]).expect_err("cut off").to_string();
    let line = super::line_of(CLINICAL, "ItemOID=\"RATIO\"");
    assert_eq!(
        error,
        format!("the file ends inside ItemGroupData (line {line}, column 25): it was cut off; export or copy it again")
    );
}

#[test]
fn small_buffers_change_nothing() {
    for capacity in [1, 2, 3, 7, 64] {
        let (from_design, report) =
            read_design(BufReader::with_capacity(capacity, DESIGN.as_bytes()), &Limits::default(), Mode::Lenient)
                .expect("a good design");
        assert_eq!((from_design, report), design(DESIGN).expect("a good design"));
        let data = all_of(BufReader::with_capacity(capacity, CLINICAL.as_bytes()), &Limits::default());
        assert_eq!(data, clinical(CLINICAL));
    }
}

#[test]
fn after_an_error_nothing_follows() {
    let broken = CLINICAL.replacen("<StudyEventData StudyEventOID=\"FOLLOW\"", "<Broken StudyEventOID=\"FOLLOW\"", 1);
    let mut clinical = super::super::read_clinical(broken.as_bytes(), &Limits::default()).expect("it begins well");
    assert!(clinical.by_ref().any(|participant| participant.is_err()));
    assert!(clinical.next().is_none());
}

/// A value that is not escaped can turn into a tag, an attribute, an entity: it must not come out as its name.
#[test]
fn no_value_comes_out_as_the_name_of_something() {
    const CANARY: &str = "Quetzalcoatl";
    let text = CLINICAL.replace("tel &amp; fax", CANARY).replace("3.1", CANARY).replace("week 4", CANARY);
    let text = text.replace("not a number", CANARY).replace("Update", CANARY);
    let (design, _) = design(DESIGN).expect("a good design");
    let mut tried = 0;
    for (start, _) in text.match_indices(CANARY) {
        for (at, removed) in (start - 3..start + CANARY.len() + 3).flat_map(|at| [(at, 0), (at, 1)]) {
            for put in ["<", "</", ">", "&", "\"", "/", "<ItemData", " ", "<x a='", "\u{1}"] {
                let mut damaged = text.clone();
                damaged.replace_range(at..at + removed, put);
                let words = words(damaged.as_bytes(), &design);
                assert!(!words.contains("zalco"), "{put} at {at}: {words}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 5 * 18 * 2 * 10);
}

/// All that is ever said about a file of values.
fn words(bytes: &[u8], design: &domain::design::StudyDesign) -> String {
    let mut words = match read_design(bytes, &Limits::default(), Mode::Lenient) {
        Ok((_, report)) => report.to_string(),
        Err(error) => error.to_string(),
    };
    match all_of(bytes, &Limits::default()) {
        Ok((participants, report)) => {
            words += &report.to_string();
            words.extend(participants.iter().map(|one| super::super::plan(one, design).report.to_string()));
        }
        Err(error) => words += &error.to_string(),
    }
    words
}

proptest! {
    /// Bytes put anywhere, pieces taken out: an error or a result, never a panic, and no value in the words.
    #[test]
    fn damage_never_panics_and_never_tells_a_value(
        data in any::<bool>(),
        at in any::<prop::sample::Index>(),
        removed in 0_usize..40,
        put in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"<>&\"'/=!?[]-; \n".to_vec())], 0..6),
    ) {
        const CANARY: &str = "Quetzalcoatl";
        let text = if data { CLINICAL.replace("tel &amp; fax", CANARY).replace("3.1", CANARY) } else { DESIGN.to_owned() };
        let mut bytes = text.into_bytes();
        let start = at.index(bytes.len());
        let end = (start + removed).min(bytes.len());
        bytes.splice(start..end, put);
        let (design, _) = design(DESIGN).expect("a good design");
        let words = words(&bytes, &design);
        prop_assert!(!words.contains(CANARY), "{}", words);
    }
}
