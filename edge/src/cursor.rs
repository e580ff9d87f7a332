//! Where a list goes on: an opaque token that needs no escaping in an address.

use crate::problem::Problem;

/// The token for a key.
pub fn encode(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a token.
pub fn decode(token: &str) -> Result<Vec<u8>, Problem> {
    let wrong = || Problem::bad_request("invalid-cursor", "cursor takes what an earlier page gave, unchanged");
    if !token.is_ascii() || !token.len().is_multiple_of(2) || token.len() > 1024 {
        return Err(wrong());
    }
    token
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let digits = std::str::from_utf8(pair).map_err(|_| wrong())?;
            let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            if hexadecimal { u8::from_str_radix(digits, 16).map_err(|_| wrong()) } else { Err(wrong()) }
        })
        .collect()
}
