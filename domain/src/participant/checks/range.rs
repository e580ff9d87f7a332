//! ODM range checks: one value against fixed ones. Numbers are compared as they are written, digit by digit.

use std::cmp::Ordering;

use crate::design::{DataType, ItemDef, RangeCheck};

/// Whether a value passes; none if the check cannot be carried out.
pub(super) fn passes(item: &ItemDef, check: &RangeCheck, value: &str) -> Option<bool> {
    if !check.is_executed_on(item) {
        return None;
    }
    let order = |limit: &String| compare(item.data_type, value, limit);
    let first = || check.values.first().and_then(order);
    let among = || check.values.iter().any(|limit| order(limit) == Some(Ordering::Equal));
    match check.comparator.as_deref()? {
        "LT" => first().map(Ordering::is_lt),
        "LE" => first().map(Ordering::is_le),
        "GT" => first().map(Ordering::is_gt),
        "GE" => first().map(Ordering::is_ge),
        "EQ" => first().map(Ordering::is_eq),
        "NE" => first().map(Ordering::is_ne),
        "IN" => Some(among()),
        "NOTIN" => Some(!among()),
        _ => None,
    }
}

fn compare(kind: DataType, value: &str, limit: &str) -> Option<Ordering> {
    match kind {
        DataType::Integer | DataType::Decimal => numbers(value, limit),
        // A year is neither before nor after a month of it.
        DataType::PartialDate if value.len() != limit.len() => {
            let both = value.len().min(limit.len());
            Some(value.get(..both)?.cmp(limit.get(..both)?)).filter(|order| order.is_ne())
        }
        DataType::Boolean => Some(truth(value).cmp(&truth(limit))),
        DataType::Text
        | DataType::Date
        | DataType::PartialDate
        | DataType::Time
        | DataType::DateTime
        | DataType::File => Some(value.cmp(limit)),
    }
}

fn truth(text: &str) -> bool {
    matches!(text, "true" | "1")
}

/// Two decimal numbers of any length.
fn numbers(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Number::read(a)?, Number::read(b)?);
    Some(match (a.negative, b.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => a.size(&b),
        (true, true) => b.size(&a),
    })
}

struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Number<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let negative = text.starts_with('-') && !(whole.is_empty() && fraction.is_empty());
        (digits(whole) && digits(fraction)).then_some(Self { negative, whole, fraction })
    }

    fn size(&self, other: &Self) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(other.whole));
        whole.then_with(|| self.fraction.cmp(other.fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_whatever_their_length() {
        let cases = [
            ("1", "2", Ordering::Less),
            ("10", "9", Ordering::Greater),
            ("-10", "9", Ordering::Less),
            ("-10", "-9", Ordering::Less),
            ("007", "7.000", Ordering::Equal),
            ("-0", "0.0", Ordering::Equal),
            ("0.1", "0.09", Ordering::Greater),
            ("123456789012345678901234567890.2", "123456789012345678901234567890.1", Ordering::Greater),
        ];
        for (a, b, order) in cases {
            assert_eq!(numbers(a, b), Some(order), "{a} {b}");
            assert_eq!(numbers(b, a), Some(order.reverse()), "{b} {a}");
        }
    }

    #[test]
    fn each_comparator_passes_what_it_says() {
        let mut item = crate::testing::design().items.remove(0);
        let cases = [
            ("LT", &["5"][..], "4", Some(true)),
            ("LT", &["5"], "5", Some(false)),
            ("LE", &["5"], "5", Some(true)),
            ("LE", &["5"], "6", Some(false)),
            ("GT", &["5"], "6", Some(true)),
            ("GT", &["5"], "5", Some(false)),
            ("GE", &["5"], "5", Some(true)),
            ("GE", &["5"], "4", Some(false)),
            ("EQ", &["5"], "05", Some(true)),
            ("EQ", &["5"], "4", Some(false)),
            ("NE", &["5"], "4", Some(true)),
            ("NE", &["5"], "5", Some(false)),
            ("IN", &["5", "7"], "7", Some(true)),
            ("IN", &["5", "7"], "6", Some(false)),
            ("NOTIN", &["5", "7"], "6", Some(true)),
            ("NOTIN", &["5", "7"], "7", Some(false)),
            ("LT", &["5", "6"], "4", None),
            ("LT", &["high"], "4", None),
            ("BETWEEN", &["5"], "4", None),
        ];
        for (comparator, values, value, passed) in cases {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let comparator = Some(comparator.to_owned());
            let mut check = RangeCheck {
                comparator,
                hard: true,
                values,
                unit: None,
                message: Default::default(),
                expressions: vec![],
            };
            assert_eq!(passes(&item, &check, value), passed, "{check:?}");
            check.unit = Some("mmHg".into());
            assert_eq!(passes(&item, &check, value), None, "limits in another unit say nothing");
        }
        item.data_type = DataType::PartialDate;
        let check = |value: &str| RangeCheck {
            comparator: Some("LT".into()),
            hard: true,
            values: vec![value.into()],
            unit: None,
            message: Default::default(),
            expressions: vec![],
        };
        assert_eq!(passes(&item, &check("2026-03"), "2026"), None);
        assert_eq!(passes(&item, &check("2026-03"), "2025"), Some(true));
        assert_eq!(passes(&item, &check("2026-03-01"), "2026-02-28"), Some(true));
    }
}
