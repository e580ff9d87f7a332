//! The canonical form of JSON (RFC 8785), for texts, whole numbers, truth values, lists and objects. Nothing else stands
//! in a certificate.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The one spelling of a value; none if it holds a null, or a number that is not whole and small enough for every
/// reader of JSON.
pub fn canonical(value: &Value) -> Option<String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Some(text)
}

fn write(value: &Value, text: &mut String) -> Option<()> {
    match value {
        Value::Null => return None,
        Value::Bool(truth) => write!(text, "{truth}").ok()?,
        Value::Number(number) => {
            let number = number.as_i64().filter(|number| number.unsigned_abs() < 1 << 53)?;
            write!(text, "{number}").ok()?;
        }
        Value::String(string) => *text += &serde_json::to_string(string).ok()?,
        Value::Array(items) => list('[', ']', items.iter(), text, write)?,
        Value::Object(members) => object(members, text)?,
    }
    Some(())
}

fn object(members: &Map<String, Value>, text: &mut String) -> Option<()> {
    let mut sorted: Vec<_> = members.iter().collect();
    // RFC 8785, section 3.2.3: by UTF-16 code units.
    sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    list('{', '}', sorted.into_iter(), text, |(name, value), text| {
        *text += &serde_json::to_string(name).ok()?;
        text.push(':');
        write(value, text)
    })
}

fn list<T>(
    open: char,
    close: char,
    items: impl Iterator<Item = T>,
    text: &mut String,
    each: impl Fn(T, &mut String) -> Option<()>,
) -> Option<()> {
    text.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        each(item, text)?;
    }
    text.push(close);
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_sorts_and_leaves_no_space() {
        let value = json!({ "b": [true, 1, -2, "\u{20ac}\n\"\\\u{1f}/"], "a": {}, "\u{fb33}": 1, "\u{1f600}": 2 });
        let expected = "{\"a\":{},\"b\":[true,1,-2,\"\u{20ac}\\n\\\"\\\\\\u001f/\"],\"\u{1f600}\":2,\"\u{fb33}\":1}";
        assert_eq!(canonical(&value).as_deref(), Some(expected));
    }

    #[test]
    fn what_readers_of_json_disagree_about_has_no_canonical_form() {
        for value in [json!(null), json!(1.5), json!([1e3]), json!({ "a": 9_007_199_254_740_992_u64 })] {
            assert_eq!(canonical(&value), None, "{value}");
        }
    }
}
