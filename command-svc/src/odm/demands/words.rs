//! What may stand in an attribute.

use time::OffsetDateTime;
use time::format_description::well_known::{Iso8601, Rfc3339};

use super::table::Words;

impl Words {
    /// What is wrong with a value, for people; none if nothing is. Never repeats it.
    pub(super) fn broken_by(&self, value: &str) -> Option<String> {
        let number = || value.trim().trim_start_matches('+').parse::<i64>().ok();
        let said = match self {
            Self::Any => return None,
            Self::Some if !value.is_empty() => return None,
            Self::Number if number().is_some() => return None,
            Self::From(least) if number().is_some_and(|number| number >= i64::from(*least)) => return None,
            Self::Decimal if is_decimal(value.trim()) => return None,
            Self::Moment if is_moment(value.trim()) => return None,
            Self::Of(words) if words.iter().any(|word| word.replace('_', " ") == value) => return None,
            Self::Some => "is empty".to_owned(),
            Self::Number => "is no whole number".to_owned(),
            Self::From(least) => format!("is no whole number from {least} up"),
            Self::Decimal => "is no decimal number".to_owned(),
            Self::Moment => "is no date and time such as 2026-11-22T13:45:30Z".to_owned(),
            Self::Of(words) if words.len() > 8 => "is none of the words that ODM has for it".to_owned(),
            Self::Of(words) => format!("is none of {}", words.join(", ").replace('_', " ")),
        };
        Some(said)
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !(whole.is_empty() && fraction.is_empty()) && all(whole) && all(fraction)
}

/// `xs:dateTime`: with or without an offset.
fn is_moment(text: &str) -> bool {
    let with_offset = |text: &str| OffsetDateTime::parse(text, &Rfc3339).is_ok();
    let plain = |text: &str| {
        text.len() >= "2026-11-22T13:45:30".len() && time::PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).is_ok()
    };
    with_offset(text) || (plain(text) && !text.contains('Z'))
}

#[test]
fn types_of_attributes_are_those_of_the_schema() {
    let takes = |words: &Words, value: &str| words.broken_by(value).is_none();
    for (value, number, from_zero, from_one, decimal) in [
        ("1", true, true, true, true),
        ("+2", true, true, true, true),
        ("0", true, true, false, true),
        ("-1", true, false, false, true),
        ("1.5", false, false, false, true),
        (".5", false, false, false, true),
        ("1e5", false, false, false, false),
        ("", false, false, false, false),
        (".", false, false, false, false),
        ("one", false, false, false, false),
    ] {
        let found = [Words::Number, Words::From(0), Words::From(1), Words::Decimal].map(|words| takes(&words, value));
        assert_eq!(found, [number, from_zero, from_one, decimal], "{value}");
    }
    for (value, good) in [
        ("2026-11-22T12:00:00Z", true),
        ("2026-11-22T12:00:00.5+01:00", true),
        ("2026-11-22T12:00:00", true),
        ("2026-11-22T12:00:00.123", true),
        ("2026-11-22", false),
        ("2026-11-22 12:00:00", false),
        ("2026-13-22T12:00:00Z", false),
        ("yesterday", false),
        ("", false),
    ] {
        assert_eq!(takes(&Words::Moment, value), good, "{value}");
    }
}
