//! The details about a person as they come in, and what each may look like.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rejection::Fault;
use crate::scope::{Plain, Scope};

/// The name of a detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the fields")]
pub enum Detail {
    GivenName,
    FamilyName,
    DateOfBirth,
    Email,
    Telephone,
    PostalAddress,
    NationalId,
}

impl Detail {
    /// Every detail.
    pub const ALL: [Self; 7] = [
        Self::GivenName,
        Self::FamilyName,
        Self::DateOfBirth,
        Self::Email,
        Self::Telephone,
        Self::PostalAddress,
        Self::NationalId,
    ];

    /// The name as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::DateOfBirth => "date_of_birth",
            Self::Email => "email",
            Self::Telephone => "telephone",
            Self::PostalAddress => "postal_address",
            Self::NationalId => "national_id",
        }
    }

    /// Its scope: the same as the tag on its field.
    pub fn scope(self) -> Scope {
        match self {
            Self::GivenName | Self::FamilyName | Self::DateOfBirth => Scope::IdentityCodeList,
            Self::Email | Self::Telephone | Self::PostalAddress => Scope::IdentityContact,
            Self::NationalId => Scope::IdentityNationalId,
        }
    }

    /// The rule that `text` breaks, if it breaks one.
    fn broken_rule(self, text: &str) -> Option<&'static str> {
        let (good, rule) = match self {
            Self::GivenName | Self::FamilyName => (is_line(text, 200), "1 to 200 printable characters"),
            Self::DateOfBirth => (is_date(text), "a date such as 1961-04-12, 1961-04 or 1961"),
            Self::Email => (is_email(text), "an address such as name@example.org"),
            Self::Telephone => (is_telephone(text), "digits, blanks and + - ( ) . /, at most 40"),
            Self::PostalAddress => (is_text(text, 1000), "1 to 1000 printable characters, in lines"),
            Self::NationalId => (is_line(text, 64), "1 to 64 printable characters"),
        };
        (!good).then_some(rule)
    }
}

fn is_text(text: &str, max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= max && text.chars().all(|c| !c.is_control() || c == '\n')
}

fn is_line(text: &str, max: usize) -> bool {
    is_text(text, max) && !text.contains('\n')
}

fn is_email(text: &str) -> bool {
    let apart = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    apart && text.len() <= 254 && !text.contains(char::is_whitespace) && !text.contains(char::is_control)
}

fn is_telephone(text: &str) -> bool {
    text.len() <= 40
        && text.chars().any(|c| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c))
}

/// A date, or as much of one as is known.
fn is_date(text: &str) -> bool {
    let whole = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        _ => text.to_owned(),
    };
    let format = time::macros::format_description!("[year]-[month]-[day]");
    whole.len() == 10 && time::Date::parse(&whole, format).is_ok()
}

/// Details about a person, in a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlainDetails {
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<Plain>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<Plain>,
    /// Date of birth, as exact as it is known: `1961-04-12`, `1961-04` or `1961`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<Plain>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Plain>,
    /// Telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telephone: Option<Plain>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_address: Option<Plain>,
    /// National identity number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub national_id: Option<Plain>,
}

impl PlainDetails {
    /// One of them, if it is there.
    pub fn get(&self, detail: Detail) -> Option<&Plain> {
        match detail {
            Detail::GivenName => self.given_name.as_ref(),
            Detail::FamilyName => self.family_name.as_ref(),
            Detail::DateOfBirth => self.date_of_birth.as_ref(),
            Detail::Email => self.email.as_ref(),
            Detail::Telephone => self.telephone.as_ref(),
            Detail::PostalAddress => self.postal_address.as_ref(),
            Detail::NationalId => self.national_id.as_ref(),
        }
    }

    /// Those that are there.
    pub fn present(&self) -> impl Iterator<Item = (Detail, &Plain)> {
        Detail::ALL.into_iter().filter_map(|detail| self.get(detail).map(|plain| (detail, plain)))
    }

    /// Every rule that a detail breaks.
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> {
        self.present().filter_map(|(detail, plain)| {
            let rule = detail.broken_rule(&plain.0)?;
            let pointer = format!("/details/{}", detail.as_str());
            Some(Fault { pointer, detail: format!("{} takes {rule}", detail.as_str()) })
        })
    }
}
