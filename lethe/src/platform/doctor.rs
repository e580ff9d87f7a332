//! Looks at an installation and says what is unsafe about it. It changes nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use domain::port::Clock as _;
use infra::chance::SystemClock;
use infra::journal::destructive_privileges;
use infra::keys::kms::KmsConfig;
use projection_svc::JournalState;
use serde::Serialize;
use time::Duration;
use utoipa::ToSchema;

use super::inner::Inner;
use super::registry::Open;

/// How long before its end a certificate is to be renewed.
const RENEW_BEFORE: Duration = Duration::days(14);

/// How old the last backup that was read whole may be.
const READ_EVERY: Duration = Duration::days(31);

/// How long ago somebody may have restored from one.
const RESTORED_EVERY: Duration = Duration::days(366);

/// How sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// Worth a thought; no data is in danger by it alone.
    Weak,
    /// To be changed before people's data comes in.
    Unsafe,
    /// It could not be looked at.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DoctorFinding)]
pub(super) struct Finding {
    /// What it is about.
    about: &'static str,
    /// How it is.
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Finding {
    fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Good, found: found.into(), next: None }
    }

    fn not(about: &'static str, verdict: Verdict, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { about, verdict, found: found.into(), next: Some(next.into()) }
    }

    /// The same without the folders of this machine.
    pub(super) fn without_places(mut self, inner: &Inner) -> Self {
        let mut places = Vec::new();
        if let KmsConfig::File { dir } = &inner.elsewhere.kms {
            places.push((dir.clone(), "the folder of root keys"));
        }
        // After what may begin with its name.
        places.push((inner.data_dir.folder(""), "the data directory"));
        for (place, words) in places {
            let place = place.display().to_string();
            let place = place.trim_end_matches('/');
            for text in std::iter::once(&mut self.found).chain(&mut self.next) {
                *text = text.replace(&format!("{place}/"), words).replace(place, words);
            }
        }
        self
    }
}

/// Looks at everything.
pub(super) async fn examine(inner: &Inner) -> Vec<Finding> {
    examine_for(inner, None).await
}

/// Looks at everything, and of tenants at this one alone.
pub(super) async fn examine_for(inner: &Inner, only: Option<&Arc<Open>>) -> Vec<Finding> {
    let tenants = only.map_or_else(|| inner.registry.open(), |open| vec![Arc::clone(open)]);
    let mut found = vec![owner_only("data directory", &inner.data_dir.folder(""))];
    found.extend(root_keys(inner));
    found.push(off_site(inner));
    found.extend(backups(inner, &tenants));
    found.push(people_come_by(inner));
    found.extend(privileges(&tenants).await);
    found.extend(administrators(inner, &tenants).await);
    found.extend(read_models(&tenants));
    found.extend(roots(&tenants).await);
    found.push(swap(fs::read_to_string("/proc/swaps").ok().as_deref()));
    found.push(core_dumps(fs::read_to_string("/proc/self/limits").ok().as_deref()));
    found
}

fn owner_only(about: &'static str, folder: &Path) -> Finding {
    match fs::metadata(folder).map(|found| found.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => Finding::good(about, format!("{} is for its owner alone", folder.display())),
        Ok(mode) => Finding::not(
            about,
            Verdict::Unsafe,
            format!("{} can be read by others on this machine (mode {mode:o})", folder.display()),
            format!("chmod -R go= {}", folder.display()),
        ),
        Err(error) => Finding::not(about, Verdict::Unknown, format!("{}: {error}", folder.display()), "look yourself"),
    }
}

fn root_keys(inner: &Inner) -> Vec<Finding> {
    let KmsConfig::File { dir } = &inner.elsewhere.kms else {
        return vec![Finding::good("root keys", "they are in a KMS of their own")];
    };
    let mut found = vec![
        Finding::not(
            "root keys",
            Verdict::Unsafe,
            "they are files: a snapshot or a copy of their folder brings erased persons back",
            "keep them in an HSM or in OpenBao: --kms (docs/kms.md)",
        ),
        owner_only("folder of root keys", dir),
    ];
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    if device(dir).is_some() && device(dir) == device(&inner.data_dir.folder("")) {
        found.push(Finding::not(
            "folder of root keys",
            Verdict::Weak,
            "it is on the same disk as the data: one snapshot takes both",
            "put it on a disk of its own: --kms-dir",
        ));
    }
    found
}

fn off_site(inner: &Inner) -> Finding {
    match &inner.elsewhere.off_site {
        Some(_) => Finding::good("off-site copy", "the key tree and every erasure go elsewhere at once"),
        None => Finding::not(
            "off-site copy",
            Verdict::Unsafe,
            "there is none: if this disk fails, every survivor's keys are gone, and a restore cannot know the erasures",
            "name a place elsewhere: --off-site (docs/backup.md)",
        ),
    }
}

fn backups(inner: &Inner, tenants: &[Arc<Open>]) -> Vec<Finding> {
    const ABOUT: &str = "backups";
    let Some(watch) = &inner.backups else {
        let next = "have them made by themselves: --backup-to and --backup-recipient (docs/backup.md)";
        return vec![Finding::not(ABOUT, Verdict::Unsafe, "none are made by this process", next)];
    };
    let now = SystemClock.now();
    let mut found: Vec<Finding> = Vec::new();
    for tenant in tenants.iter().map(|open| &open.ports.id) {
        let fault = watch.fault_of(tenant, now);
        found.extend(fault.map(|fault| Finding::not(ABOUT, Verdict::Unsafe, fault, "see the log of serve")));
        let Some(known) = watch.of(tenant) else { continue };
        let within = |last: Option<time::OffsetDateTime>, most| last.is_some_and(|last| now - last <= most);
        if !within(known.last_read, READ_EVERY) {
            let what = format!("no backup of tenant {tenant} was read whole in a month");
            found.push(Finding::not(ABOUT, Verdict::Weak, what, "lethe backup verify"));
        }
        if !within(known.last_restored, RESTORED_EVERY) {
            let what = format!("no backup of tenant {tenant} was restored from in a year: nobody knows that it can be");
            let next = "restore it into an empty data directory (docs/backup.md, `lethe restore`)";
            found.push(Finding::not("restore", Verdict::Weak, what, next));
        }
    }
    if found.is_empty() {
        found.push(Finding::good(ABOUT, "they are young enough, and were read"));
    }
    found
}

fn people_come_by(inner: &Inner) -> Finding {
    const ABOUT: &str = "TLS";
    match (inner.certificate.get(), inner.public_url.get()) {
        (Some(shown), _) if shown.own => Finding::not(
            ABOUT,
            Verdict::Unsafe,
            "the certificate is signed by itself: nobody can tell this platform from another",
            "have one signed: --tls-cert and --tls-key (docs/tls.md)",
        ),
        (Some(shown), _) => until(shown.tls.expires_at().0),
        (None, Some(url)) if url.starts_with("https://") => {
            Finding::good(ABOUT, "people come through a proxy that speaks it; this process listens on loopback alone")
        }
        (None, Some(_)) => Finding::not(
            ABOUT,
            Verdict::Unsafe,
            "people come through a proxy without TLS",
            "let the proxy speak TLS, and name its https address: --public-url",
        ),
        (None, None) => Finding::good(ABOUT, "there is none, and this process listens on loopback alone"),
    }
}

fn until(end: time::OffsetDateTime) -> Finding {
    let left = end - SystemClock.now();
    let days = left.whole_days();
    if left < Duration::ZERO {
        Finding::not(
            "TLS",
            Verdict::Unsafe,
            "the certificate has ended",
            "renew it: the new file is taken up by itself",
        )
    } else if left < RENEW_BEFORE {
        let found = format!("the certificate ends in {days} days");
        Finding::not("TLS", Verdict::Weak, found, "renew it: the new file is taken up by itself")
    } else {
        Finding::good("TLS", format!("the certificate is good for {days} days"))
    }
}

/// The login with which commands are written may not be able to take any away.
async fn privileges(tenants: &[Arc<Open>]) -> Vec<Finding> {
    const ABOUT: &str = "NATS login";
    let mut found = Vec::new();
    for open in tenants {
        let tenant = &open.ports.id;
        found.push(match destructive_privileges(&open.client).await {
            Ok(could) if could.is_empty() => Finding::good(
                ABOUT,
                format!("that of tenant {tenant} can neither delete nor purge nor change a journal stream"),
            ),
            Ok(could) => Finding::not(
                ABOUT,
                Verdict::Unsafe,
                format!("that of tenant {tenant} may send {}", could.join(", ")),
                "give it the permissions that `lethe nats accounts` writes",
            ),
            Err(failure) => Finding::not(ABOUT, Verdict::Unknown, format!("tenant {tenant}: {failure}"), "try again"),
        });
    }
    found
}

async fn administrators(inner: &Inner, tenants: &[Arc<Open>]) -> Vec<Finding> {
    const ABOUT: &str = "administrators";
    let mut found = Vec::new();
    for open in tenants {
        let tenant = &open.ports.id;
        match inner.door.is_administered(tenant).await {
            Ok(true) => found.push(Finding::good(ABOUT, format!("tenant {tenant} has one"))),
            Ok(false) => found.push(Finding::not(
                ABOUT,
                Verdict::Weak,
                format!("tenant {tenant} has none: only tokens come in"),
                format!("lethe admin link --tenant {tenant}"),
            )),
            Err(failure) => {
                found.push(Finding::not(ABOUT, Verdict::Unknown, format!("tenant {tenant}: {failure}"), "try again"));
            }
        }
    }
    found
}

/// A read model that stands still answers from before.
fn read_models(tenants: &[Arc<Open>]) -> Vec<Finding> {
    const ABOUT: &str = "read models";
    let mut found = Vec::new();
    for open in tenants {
        let tenant = &open.ports.id;
        let stopped =
            open.runner.health().iter().filter(|one| matches!(one.state, JournalState::Stopped { .. })).count();
        found.push(match stopped {
            0 => Finding::good(ABOUT, format!("those of tenant {tenant} follow every journal stream")),
            _ => Finding::not(
                ABOUT,
                Verdict::Unsafe,
                format!(
                    "those of tenant {tenant} stopped at {stopped} of its journal streams: answers are from before"
                ),
                "lethe verify, then `lethe rebuild` (docs/operations.md)",
            ),
        });
    }
    found
}

/// A root that is replaced and lives still opens what an erasure closed.
async fn roots(tenants: &[Arc<Open>]) -> Vec<Finding> {
    const ABOUT: &str = "old root keys";
    let mut found = Vec::new();
    for open in tenants {
        let tenant = &open.ports.id;
        found.push(match open.keys.status().await {
            Ok(status) if status.living.len() <= 1 => {
                Finding::good(ABOUT, format!("tenant {tenant} has one root, that of now"))
            }
            Ok(status) => Finding::not(
                ABOUT,
                Verdict::Weak,
                format!("{} roots of tenant {tenant} live: a rotation is to be finished", status.living.len()),
                "it is tried again by itself; if it stays so, look at the KMS (docs/kms.md)",
            ),
            Err(failure) => Finding::not(ABOUT, Verdict::Unknown, format!("tenant {tenant}: {failure}"), "try again"),
        });
    }
    found
}

/// Keys and values in memory may be written to where memory is swapped out to.
fn swap(swaps: Option<&str>) -> Finding {
    match swaps.map(|text| text.lines().skip(1).count()) {
        None => Finding::not("swap", Verdict::Unknown, "this system does not say", "look yourself"),
        Some(0) => Finding::good("swap", "there is none"),
        Some(_) => Finding::not(
            "swap",
            Verdict::Weak,
            "memory may be written to disk, keys included, unless the swap is encrypted",
            "swapoff -a, or encrypt it",
        ),
    }
}

/// The same for what a crash leaves behind.
fn core_dumps(limits: Option<&str>) -> Finding {
    let line = limits.and_then(|text| text.lines().find(|line| line.starts_with("Max core file size")));
    match line.and_then(|line| line.split_whitespace().nth(4)) {
        None => Finding::not("core dumps", Verdict::Unknown, "this system does not say", "look yourself"),
        Some("0") => Finding::good("core dumps", "there are none"),
        Some(_) => Finding::not(
            "core dumps",
            Verdict::Weak,
            "a crash would write memory to disk, keys included",
            "start it with `ulimit -c 0` (systemd: LimitCORE=0)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_itself_is_read() {
        let header = "Filename Type Size Used Priority\n";
        assert_eq!(swap(Some(header)).verdict, Verdict::Good);
        assert_eq!(swap(Some(&format!("{header}/dev/sda2 partition 1 0 -2\n"))).verdict, Verdict::Weak);
        assert_eq!(swap(None).verdict, Verdict::Unknown);
        let limits =
            |soft: &str| format!("Limit Soft Hard Units\nMax core file size        {soft}   unlimited   bytes\n");
        assert_eq!(core_dumps(Some(&limits("0"))).verdict, Verdict::Good);
        assert_eq!(core_dumps(Some(&limits("unlimited"))).verdict, Verdict::Weak);
        assert_eq!(core_dumps(Some("")).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_certificate_near_its_end_is_told_of() {
        let ends_in = |days| until(SystemClock.now() + Duration::days(days)).verdict;
        assert_eq!([ends_in(-1), ends_in(3), ends_in(60)], [Verdict::Unsafe, Verdict::Weak, Verdict::Good]);
    }

    #[test]
    fn a_folder_that_others_can_read_is_told_of() {
        let folder = std::env::temp_dir().join(format!("lethe-doctor-{}", crate::platform::random_id()));
        fs::create_dir_all(&folder).expect("a folder");
        for (mode, verdict) in [(0o700, Verdict::Good), (0o750, Verdict::Unsafe)] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("permissions");
            assert_eq!(owner_only("folder", &folder).verdict, verdict);
        }
        fs::remove_dir(&folder).expect("removed");
        assert_eq!(owner_only("folder", &folder).verdict, Verdict::Unknown);
    }
}
