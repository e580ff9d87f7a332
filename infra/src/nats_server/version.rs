//! Which nats-server versions are safe for a journal.

use std::fmt;

/// A version as `nats-server --version` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    number: [u64; 3],
    /// `RC.1` in `2.15.0-RC.1`.
    pre_release: Option<String>,
}

/// The first version whose `sync_interval: always` can be trusted: inline compaction ignored it before.
const OLDEST: [u64; 3] = [2, 14, 6];
/// It lacks the fixes of 2.14.6, though its number is higher.
const BROKEN: [u64; 3] = [2, 15, 0];

impl Version {
    /// Reads a line like `nats-server: v2.15.1`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let text = line.trim().strip_prefix("nats-server:")?.trim().trim_start_matches('v');
        let text = text.split('+').next()?;
        let (number, pre_release) = match text.split_once('-') {
            Some((number, pre)) => (number, Some(pre.to_owned())),
            None => (text, None),
        };
        let mut parts = number.split('.').map(|part| part.parse::<u64>().ok());
        let number = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self { number, pre_release })
    }

    /// Says why this version must not hold a journal.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.number == BROKEN {
            return Err(format!(
                "version {self} can lose data on a power failure, 2.15.1 or later (or 2.14.6) is needed"
            ));
        }
        // A pre-release of a version comes before it.
        if self.number < OLDEST || (self.number == OLDEST && self.pre_release.is_some()) {
            return Err(format!("version {self} is too old, 2.14.6 or later is needed (not 2.15.0)"));
        }
        Ok(())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.number;
        write!(f, "{major}.{minor}.{patch}")?;
        match &self.pre_release {
            Some(pre) => write!(f, "-{pre}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_are_taken_and_refused() {
        // (what it prints, taken)
        let cases = [
            ("nats-server: v2.14.6", true),
            ("nats-server: v2.14.7", true),
            ("nats-server: v2.15.1\n", true),
            ("nats-server: v2.15.2-RC.1", true),
            ("nats-server: v2.16.0-dev", true),
            ("nats-server: v2.100.0", true),
            ("nats-server: v3.0.0", true),
            ("nats-server: v2.15.1+build.7", true),
            ("nats-server: 2.15.1", true),
            ("nats-server: v2.15.0", false),
            ("nats-server: v2.15.0-RC.2", false),
            ("nats-server: v2.14.6-RC.1", false),
            ("nats-server: v2.14.5", false),
            ("nats-server: v2.9.99", false),
            ("nats-server: v1.4.1", false),
        ];
        for (line, taken) in cases {
            let version = Version::parse(line).unwrap_or_else(|| panic!("{line} was not understood"));
            assert_eq!(version.check().is_ok(), taken, "{line}: {:?}", version.check());
        }
    }

    #[test]
    fn what_is_no_version() {
        for line in [
            "",
            "nats-server",
            "nats-server: v2.15",
            "nats-server: v2.15.1.0",
            "nats-server: vx.y.z",
            "v2.15.1",
            "nginx: v2.15.1",
        ] {
            assert_eq!(Version::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_version_and_what_is_needed() {
        let reason = Version::parse("nats-server: v2.10.1").unwrap().check().unwrap_err();
        assert_eq!(reason, "version 2.10.1 is too old, 2.14.6 or later is needed (not 2.15.0)");
    }
}
