//! Reads licence expressions (SPDX, and the older form with a slash).

/// Whether the expression can be met with the `allowed` licences alone. An error where it cannot be read.
pub(super) fn allows(expression: &str, allowed: &[&str]) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<_> = spaced.split_whitespace().collect();
    let mut reader = Reader { tokens: &tokens, allowed };
    let allows = reader.any()?;
    if reader.tokens.is_empty() { Ok(allows) } else { Err(format!("cannot read {expression}")) }
}

struct Reader<'a> {
    tokens: &'a [&'a str],
    allowed: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.tokens.first() == Some(&word);
        if is {
            self.next();
        }
        is
    }

    /// `AND` binds closer than `OR`.
    fn any(&mut self) -> Result<bool, String> {
        let mut allows = self.all()?;
        while self.next_is("OR") {
            allows |= self.all()?;
        }
        Ok(allows)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut allows = self.one()?;
        while self.next_is("AND") {
            allows &= self.one()?;
        }
        Ok(allows)
    }

    /// A licence, with its exception if it has one: the exception makes another licence of it.
    fn one(&mut self) -> Result<bool, String> {
        match self.next() {
            Some("(") => {
                let allows = self.any()?;
                if self.next_is(")") { Ok(allows) } else { Err("a bracket stays open".into()) }
            }
            None | Some(")" | "AND" | "OR" | "WITH") => Err("a licence is missing".into()),
            Some(name) if self.next_is("WITH") => {
                let exception = self.next().ok_or("an exception is missing")?;
                Ok(self.allowed.contains(&format!("{name} WITH {exception}").as_str()))
            }
            Some(name) => Ok(self.allowed.contains(&name)),
        }
    }
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    let allowed = &["MIT", "ISC"];
    for (expression, expected) in [
        ("MIT", Ok(true)),
        ("GPL-3.0-only", Ok(false)),
        ("MIT OR GPL-3.0-only", Ok(true)),
        ("GPL-3.0-only/MIT", Ok(true)),
        ("MIT AND GPL-3.0-only", Ok(false)),
        ("GPL-3.0-only OR MIT AND ISC", Ok(true)),
        ("(GPL-3.0-only OR MIT) AND ISC", Ok(true)),
        ("(GPL-3.0-only OR MIT) AND Zlib", Ok(false)),
        ("MIT WITH some-exception", Ok(false)),
    ] {
        assert_eq!(allows(expression, allowed), expected, "{expression}");
    }
    for wrong in ["", "(MIT", "MIT)", "MIT OR", "AND MIT", "MIT ISC"] {
        assert!(allows(wrong, allowed).is_err(), "{wrong}");
    }
}
