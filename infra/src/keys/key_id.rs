//! The names of keys, as they stand in headers and sealed messages.

use std::fmt;
use std::str::FromStr;

use domain::history::DataSubject;
use domain::scope::{Part, Scope};
use uuid::Uuid;

/// A personal key's name. Nothing personal is in it: the data subject's id is random.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonKey {
    /// Whose data it seals.
    pub data_subject: DataSubject,
    /// Which kind of data.
    pub scope: Scope,
    /// All of the scope, or one value.
    pub part: Part,
    /// Which life of the scope: the next one begins when it is lawfully used again after an erasure.
    pub generation: u32,
}

/// A key's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyId {
    /// The tenant's own key, which seals structure. No erasure touches it.
    Tenant {
        /// Which one, should it ever be replaced.
        generation: u32,
    },
    /// A person's key.
    Person(PersonKey),
}

/// `structure/<generation>` or `<data subject>/<scope>/<part>/<generation>`.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant { generation } => write!(f, "structure/{generation}"),
            Self::Person(key) => key.fmt(f),
        }
    }
}

impl fmt::Display for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.data_subject, self.scope, self.part, self.generation)
    }
}

/// A text that names no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key id")]
pub struct InvalidKeyId;

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    /// Accepts exactly what `Display` writes.
    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let id = match text.split('/').collect::<Vec<_>>()[..] {
            ["structure", generation] => Self::Tenant { generation: number(generation)? },
            [data_subject, scope, part, generation] => Self::Person(PersonKey {
                data_subject: DataSubject(Uuid::parse_str(data_subject).map_err(|_| InvalidKeyId)?),
                scope: scope.parse().map_err(|_| InvalidKeyId)?,
                part: Part::try_from(part.to_owned()).map_err(|_| InvalidKeyId)?,
                generation: number(generation)?,
            }),
            _ => return Err(InvalidKeyId),
        };
        if id.to_string() == text { Ok(id) } else { Err(InvalidKeyId) }
    }
}

fn number(text: &str) -> Result<u32, InvalidKeyId> {
    text.parse().ok().filter(|number| *number > 0).ok_or(InvalidKeyId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_has_one_spelling() {
        let person = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        for good in [
            "structure/1".to_owned(),
            format!("{person}/health.clinical/all/1"),
            format!("{person}/health.free-text/ab-0/12"),
        ] {
            assert_eq!(KeyId::from_str(&good).map(|id| id.to_string()), Ok(good));
        }
        for bad in [
            String::new(),
            "structure".to_owned(),
            "structure/0".to_owned(),
            "structure/01".to_owned(),
            "structure/+1".to_owned(),
            "structure/1/1".to_owned(),
            format!("{person}/health.clinical/all"),
            format!("{person}/health.moods/all/1"),
            format!("{person}/health.clinical/All/1"),
            format!("{}/health.clinical/all/1", person.to_uppercase()),
        ] {
            assert_eq!(KeyId::from_str(&bad), Err(InvalidKeyId), "{bad}");
        }
    }
}
