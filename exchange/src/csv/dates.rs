//! Dates and times in other people's formats.

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// What stands for a day or month that nobody knows.
const UNKNOWN: [&str; 5] = ["UNK", "UN", "XX", "??", "--"];

/// What was found in a text.
#[derive(Default)]
struct Found {
    year: Option<String>,
    month: Option<String>,
    day: Option<String>,
    hour: Option<String>,
    minute: Option<String>,
    second: Option<String>,
}

/// The text as the platform has it (`2026-11-22`, `2026-11`, `13:45`, `2026-11-22T13:45`), or none if it does not follow the
/// pattern: `YYYY`, `MM` (digits), `MMM` (`JAN`), `DD`, `HH`, `mm`, `SS`, and everything else as it stands. An unknown day,
/// or day and month (`UN`, `UNK`, `XX`, `??`, `--`), makes the date partial.
pub(super) fn iso(text: &str, pattern: &str) -> Option<String> {
    let mut found = Found::default();
    let (mut text, mut pattern) = (text, pattern);
    while !pattern.is_empty() {
        let tokens = ["YYYY", "MMM", "MM", "DD", "HH", "mm", "SS"];
        if let Some(token) = tokens.into_iter().find(|token| pattern.starts_with(token)) {
            pattern = &pattern[token.len()..];
            text = found.token(token, text)?;
        } else {
            let literal = pattern.chars().next()?;
            pattern = &pattern[literal.len_utf8()..];
            text = text.strip_prefix(literal)?;
        }
    }
    text.is_empty().then(|| found.iso()).flatten()
}

impl Found {
    /// Takes what a token stands for off the text.
    fn token<'t>(&mut self, token: &str, text: &'t str) -> Option<&'t str> {
        let unknown = UNKNOWN.into_iter().find(|unknown| text.starts_with(unknown));
        if let Some(unknown) = unknown.filter(|_| matches!(token, "MMM" | "MM" | "DD")) {
            return text.strip_prefix(unknown);
        }
        let (value, rest) = text.split_at_checked(token.len())?;
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let value = if token == "MMM" {
            let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(value))?;
            format!("{:02}", month + 1)
        } else {
            digits.then(|| value.to_owned())?
        };
        let field = match token {
            "YYYY" => &mut self.year,
            "MMM" | "MM" => &mut self.month,
            "DD" => &mut self.day,
            "HH" => &mut self.hour,
            "mm" => &mut self.minute,
            _ => &mut self.second,
        };
        *field = Some(value);
        Some(rest)
    }

    fn iso(self) -> Option<String> {
        let date = match (self.year, self.month, self.day) {
            (Some(year), Some(month), Some(day)) => Some(format!("{year}-{month}-{day}")),
            (Some(year), Some(month), None) => Some(format!("{year}-{month}")),
            (Some(year), None, None) => Some(year),
            (None, None, None) => None,
            // A day without its month says nothing.
            _ => return None,
        };
        let clock = match (self.hour, self.minute, self.second) {
            (Some(hour), Some(minute), Some(second)) => Some(format!("{hour}:{minute}:{second}")),
            (Some(hour), Some(minute), None) => Some(format!("{hour}:{minute}")),
            (None, None, None) => None,
            _ => return None,
        };
        match (date, clock) {
            (Some(date), Some(clock)) => Some(format!("{date}T{clock}")),
            (date, clock) => date.or(clock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_become_ours() {
        let cases = [
            ("22.11.2026", "DD.MM.YYYY", Some("2026-11-22")),
            ("22NOV2026", "DDMMMYYYY", Some("2026-11-22")),
            ("22nov2026:13:45:30", "DDMMMYYYY:HH:mm:SS", Some("2026-11-22T13:45:30")),
            ("11/22/2026 13:45", "MM/DD/YYYY HH:mm", Some("2026-11-22T13:45")),
            ("UN-NOV-2026", "DD-MMM-YYYY", Some("2026-11")),
            ("UNUNK2026", "DDMMMYYYY", Some("2026")),
            ("22-UNK-2026", "DD-MMM-YYYY", None),
            ("1345", "HHmm", Some("13:45")),
            ("22.11.26", "DD.MM.YYYY", None),
            ("22.11.2026 ", "DD.MM.YYYY", None),
        ];
        for (text, pattern, wanted) in cases {
            assert_eq!(iso(text, pattern).as_deref(), wanted, "{text} {pattern}");
        }
    }
}
