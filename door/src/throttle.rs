//! How often somebody may try. In memory, for known names and unknown ones alike: who is told to wait learns nothing of whether
//! there is such an account. What a process forgets at its end, the record of a known account still has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::account::pause_after;
use domain::design::content_hash;
use domain::history::CommitHash;
use time::OffsetDateTime;

/// How many names and addresses are remembered at most. Beyond that, what is over goes first.
const KEPT_MAX: usize = 100_000;

/// The window in which an address's proofs are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// How long failures of a name are remembered without a new one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Failures by name.
pub(crate) struct Names {
    /// So that a dump of the memory is no list of names.
    salt: [u8; 32],
    tries: Mutex<BTreeMap<CommitHash, Tries>>,
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    failures: u32,
    last: OffsetDateTime,
}

impl Names {
    pub(crate) fn new(salt: [u8; 32]) -> Self {
        Self { salt, tries: Mutex::default() }
    }

    /// Counts one try as failed before it is made, so that many at once are no way around; [`Names::forget`] takes it back.
    pub(crate) fn begin(&self, kind: &str, name: &str, now: OffsetDateTime) -> Result<(), Duration> {
        let key = self.key(kind, name);
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= KEPT_MAX {
            tries.retain(|_, one| now < one.last + FORGOTTEN_AFTER);
        }
        let known = tries.get(&key).copied().filter(|one| now < one.last + FORGOTTEN_AFTER);
        let failures = known.map_or(0, |one| one.failures);
        if let Some(until) = known.map(|one| one.last + pause_after(one.failures))
            && now < until
        {
            return Err(left(now, until));
        }
        tries.insert(key, Tries { failures: failures.saturating_add(1), last: now });
        Ok(())
    }

    /// Somebody came in by this name.
    pub(crate) fn forget(&self, kind: &str, name: &str) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key(kind, name));
    }

    fn key(&self, kind: &str, name: &str) -> CommitHash {
        content_hash(&[&self.salt[..], kind.as_bytes(), b"/", name.to_lowercase().as_bytes()].concat())
    }
}

/// How long to wait, at least a second.
pub(crate) fn left(now: OffsetDateTime, until: OffsetDateTime) -> Duration {
    Duration::try_from(until - now).unwrap_or_default().max(Duration::from_secs(1))
}

/// Proofs by address.
pub(crate) struct Addresses {
    max: u32,
    windows: Mutex<BTreeMap<Option<IpAddr>, (OffsetDateTime, u32)>>,
}

impl Addresses {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, windows: Mutex::default() }
    }

    /// Counts one more. An address that nobody knows counts as one.
    pub(crate) fn admit(&self, address: Option<IpAddr>, now: OffsetDateTime) -> Result<(), Duration> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEPT_MAX {
            windows.retain(|_, (begun, _)| now < *begun + WINDOW);
        }
        let window = windows.entry(address.map(network)).or_insert((now, 0));
        if now >= window.0 + WINDOW {
            *window = (now, 0);
        }
        if window.1 >= self.max {
            return Err(left(now, window.0 + WINDOW));
        }
        window.1 += 1;
        Ok(())
    }
}

/// Who has one IPv6 address has a whole network of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    #[test]
    fn a_name_waits_longer_after_each_failure_whatever_the_size_of_its_letters() {
        let names = Names::new([1; 32]);
        for _ in 0..5 {
            names.begin("login", "Grace", NOW).expect("a few are free");
        }
        assert_eq!(names.begin("login", "grace", NOW), Err(Duration::from_secs(30)));
        names.begin("login", "ada", NOW).expect("another name");
        names.begin("link", "grace", NOW).expect("another kind");
        let later = NOW + Duration::from_secs(30);
        names.begin("login", "grace", later).expect("waited");
        assert_eq!(names.begin("login", "grace", later), Err(Duration::from_secs(60)));
        names.forget("login", "GRACE");
        names.begin("login", "grace", later).expect("came in");
    }

    #[test]
    fn an_address_has_so_many_proofs_a_minute() {
        let addresses = Addresses::new(2);
        let (one, two): (IpAddr, IpAddr) = ("10.0.0.1".parse().expect("one"), "10.0.0.2".parse().expect("two"));
        for _ in 0..2 {
            addresses.admit(Some(one), NOW).expect("free");
        }
        assert!(addresses.admit(Some(one), NOW).is_err());
        addresses.admit(Some(two), NOW).expect("another");
        addresses.admit(Some(one), NOW + WINDOW).expect("a minute later");
        let six = |text: &str| Some(text.parse::<IpAddr>().expect("six"));
        addresses.admit(six("2001:db8::1"), NOW).expect("free");
        addresses.admit(six("2001:db8::2"), NOW).expect("free");
        assert!(addresses.admit(six("2001:db8::3"), NOW).is_err(), "the same network");
    }
}
