//! The value of an item, and whether it fits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DataType, ItemDef, StudyDesign};

/// The value of an item: text, exactly as captured, typed by the design. JSON numbers and truth values are taken
/// as the text they are written with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "Scalar", into = "String")]
#[schema(value_type = String)]
pub struct ItemValue(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Truth(bool),
}

impl From<Scalar> for ItemValue {
    fn from(scalar: Scalar) -> Self {
        Self(match scalar {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
            Scalar::Truth(truth) => truth.to_string(),
        })
    }
}

impl From<ItemValue> for String {
    fn from(value: ItemValue) -> Self {
        value.0
    }
}

/// Never prints the value.
impl std::fmt::Debug for ItemValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ItemValue(…)")
    }
}

impl StudyDesign {
    /// Whether `value` fits the item's type, length and code list; otherwise what the rule is.
    pub fn check(&self, item: &ItemDef, value: &ItemValue) -> Result<(), String> {
        let text = value.0.as_str();
        if !item.data_type.accepts(text) {
            return Err(format!("{} takes {}", item.oid, item.data_type.rule()));
        }
        if item.length.is_some_and(|length| text.chars().count() > length as usize) && item.data_type == DataType::Text
        {
            return Err(format!("{} takes at most {} characters", item.oid, item.length.unwrap_or_default()));
        }
        let list = item.code_list.as_ref().and_then(|oid| self.code_list(oid));
        if list.is_some_and(|list| !list.codes.iter().any(|code| code.value == text)) {
            return Err(format!("{} takes a value of its code list", item.oid));
        }
        Ok(())
    }
}

impl DataType {
    /// The rule in words.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Text => "a text of at most 65,536 characters",
            Self::Integer => "a whole number",
            Self::Decimal => "a decimal number such as 36.6",
            Self::Date => "a date such as 2026-11-22",
            Self::PartialDate => "a date, a month or a year such as 2026-11",
            Self::Time => "a time such as 13:45",
            Self::DateTime => "a date and time such as 2026-11-22T13:45:30",
            Self::Boolean => "true or false",
            Self::File => "sha256: and 64 hex digits, or an https address",
        }
    }

    /// Whether `text` is a value of this type.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Text => !text.is_empty() && text.chars().count() <= 65_536,
            Self::Integer => digits(text.strip_prefix(['-', '+']).unwrap_or(text)) && text.len() <= 40,
            Self::Decimal => decimal(text),
            Self::Date => date(text),
            Self::PartialDate => {
                date(text) || (text.len() == 7 && date(&format!("{text}-01"))) || (text.len() == 4 && digits(text))
            }
            Self::Time => time_of_day(text),
            Self::DateTime => {
                text.split_once('T').is_some_and(|(day, clock)| date(day) && time_of_day(without_offset(clock)))
            }
            Self::Boolean => matches!(text, "true" | "false" | "1" | "0"),
            Self::File => file(text),
        }
    }
}

fn file(text: &str) -> bool {
    let hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.strip_prefix("sha256:").is_some_and(hash)
        || (text.len() <= 2048 && text.starts_with("https://") && text.chars().all(|c| c.is_ascii_graphic()))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    text.len() <= 40 && digits(whole) && digits(fraction)
}

fn date(text: &str) -> bool {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    text.len() == 10 && time::Date::parse(text, format).is_ok()
}

fn time_of_day(text: &str) -> bool {
    let short = time::macros::format_description!("[hour]:[minute]");
    let long = time::macros::format_description!("[hour]:[minute]:[second]");
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(fraction) && (time::Time::parse(clock, long).is_ok() || time::Time::parse(text, short).is_ok())
}

fn without_offset(clock: &str) -> &str {
    clock.strip_suffix('Z').unwrap_or_else(|| clock.split(['+', '-']).next().unwrap_or(clock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_type_or_not() {
        let cases = [
            (DataType::Integer, "72", true),
            (DataType::Integer, "-1531396127", true),
            (DataType::Integer, "7.2", false),
            (DataType::Integer, "", false),
            (DataType::Decimal, "-929768.56", true),
            (DataType::Decimal, "1e5", false),
            (DataType::Decimal, ".5", false),
            (DataType::Date, "2111-02-04", true),
            (DataType::Date, "2026-02-30", false),
            (DataType::PartialDate, "2026-11", true),
            (DataType::PartialDate, "2026", true),
            (DataType::PartialDate, "2026-13", false),
            (DataType::Time, "13:45", true),
            (DataType::Time, "13:45:30.250", true),
            (DataType::Time, "25:00", false),
            (DataType::DateTime, "2026-11-22T13:45:30+01:00", true),
            (DataType::DateTime, "2026-11-22 13:45:30", false),
            (DataType::Boolean, "1", true),
            (DataType::Boolean, "yes", false),
            (DataType::Text, "", false),
        ];
        for (data_type, text, good) in cases {
            assert_eq!(data_type.accepts(text), good, "{data_type:?} {text}");
        }
    }
}
