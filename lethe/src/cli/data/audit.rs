//! The audit trail of a whole study, from the platform into a file or to standard output, as it arrives.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use domain::Moment;
use domain::export::{HistoryWanted, Order, TablesBy};
use domain::ids::{Label, SiteId, StudyId};
use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;

use super::export::{expiry, written};
use crate::cli::options::Access;
use crate::cli::{CliError, Client};
use crate::platform::random_id;

/// Writes the audit trail of a study, oldest entry first, as far as the token's holder may see it. It may hold personal
/// data: a file is readable by its owner only, and what is erased later is still in it.
#[derive(Args)]
pub(in crate::cli) struct Audit {
    /// The study.
    #[arg(long)]
    study: StudyId,
    /// In which format.
    #[arg(long, default_value = "ndjson")]
    format: Format,
    /// Into this file, which must not be there yet. Default: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Goes on behind this entry: the id of the last one of an earlier run.
    #[arg(long, value_name = "ID")]
    from: Option<String>,
    /// What is about participants of this site, and about the site.
    #[arg(long)]
    site: Option<SiteId>,
    /// What was stored at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// What was stored before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// What this user did.
    #[arg(long, value_name = "ID")]
    user: Option<uuid::Uuid>,
    /// Kinds: stored names of events, or entered, changed, cleared.
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Who gets it: an organisation or an office, not the name of a person. It is registered with the study's exports.
    #[arg(long, value_name = "TEXT")]
    recipient: Label,
    /// What for.
    #[arg(long, value_name = "TEXT")]
    purpose: Label,
    /// Until when it is kept: a number of days (`30`), a day (`2027-01-31`) or a time (RFC 3339).
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Moment,
    #[command(flatten)]
    access: Access,
}

/// In which format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line.
    Ndjson,
    /// CDISC ODM 1.3.2.
    Odm132,
    /// CDISC ODM 2.0.
    Odm20,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Odm132 => "odm132",
            Self::Odm20 => "odm20",
        }
    }
}

impl Audit {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = Client::of(&self.access)?;
        let mut to = To::open(self.out.as_deref())?;
        if let Err(error) = self.register(&client).await {
            return Err(to.give_up(false, &error, ""));
        }
        let bar = ProgressBar::new_spinner();
        let (mut bytes, mut lines, mut last) = (0_u64, 0_u64, Tail::default());
        let lined = self.format == Format::Ndjson;
        let done = client
            .pieces(&self.path(), |piece| {
                to.write(piece)?;
                bytes += piece.len() as u64;
                if lined {
                    lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
                    last.take(piece);
                    bar.set_message(format!("{lines} entries, {}", HumanBytes(bytes)));
                } else {
                    bar.set_message(HumanBytes(bytes).to_string());
                }
                bar.tick();
                Ok(())
            })
            .await;
        bar.finish_and_clear();
        match done {
            Ok(()) => to.keep(),
            Err(error) => {
                let go_on = last.id().map(|id| format!("; go on with --from {id}")).unwrap_or_default();
                Err(to.give_up(lined, &error, &go_on))
            }
        }
    }

    /// Registered before it is taken, so that an erasure knows whom to tell: an order without files.
    async fn register(&self, client: &Client) -> Result<(), CliError> {
        let order = Order {
            recipient: self.recipient.clone(),
            purpose: self.purpose.clone(),
            expires_at: self.expires,
            instruction: None,
            formats: BTreeSet::new(),
            sites: self.site.iter().cloned().collect(),
            design: None,
            history: HistoryWanted::None,
            tables: TablesBy::default(),
            guard_formulas: false,
        };
        let path = format!("/v1/studies/{}/exports/{}", self.study, random_id());
        let start = json!({"type": "start", "order": order});
        match client.command(&path, random_id(), None, None, &start).await {
            Ok(ordered) => written(client, &path, ordered.position.unwrap_or_default()).await.map(drop),
            // Without a design there are no participants.
            Err(error) if error.code == "no-design" => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self) -> String {
        let mut query = form(&[
            ("format", Some(self.format.name().to_owned())),
            ("from", self.from.clone()),
            ("site", self.site.as_ref().map(ToString::to_string)),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("user", self.user.map(|user| user.to_string())),
            ("kind", (!self.kinds.is_empty()).then(|| self.kinds.join(","))),
        ]);
        query.insert_str(0, &format!("/v1/studies/{}/audit?", self.study));
        query
    }
}

/// Query parameters with everything but letters and digits escaped.
fn form(parameters: &[(&str, Option<String>)]) -> String {
    let escape = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    let given = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_ref()?))));
    given.collect::<Vec<_>>().join("&")
}

/// The last whole line, as far as it is needed to go on behind it.
#[derive(Default)]
struct Tail {
    line: Vec<u8>,
    whole: Vec<u8>,
}

impl Tail {
    fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.whole = std::mem::take(&mut self.line);
            }
        }
    }

    fn id(&self) -> Option<String> {
        let entry: serde_json::Value = serde_json::from_slice(&self.whole).ok()?;
        entry["id"].as_str().map(str::to_owned)
    }
}

/// Where it goes.
enum To {
    Stdout(io::Stdout),
    File(File, PathBuf),
}

impl To {
    fn open(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self::Stdout(io::stdout())) };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => Ok(Self::File(file, path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(CliError::conflict(format!("{} is there already: nothing was written", path.display())))
            }
            Err(error) => Err(CliError::failed(path.display(), error)),
        }
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), CliError> {
        match self {
            Self::Stdout(out) => out.write_all(piece).map_err(|error| CliError::failed("standard output", error)),
            Self::File(file, path) => file.write_all(piece).map_err(|error| CliError::failed(path.display(), error)),
        }
    }

    fn keep(self) -> Result<(), CliError> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(|error| CliError::failed("standard output", error)),
            Self::File(file, path) => file.sync_all().map_err(|error| CliError::failed(path.display(), error)),
        }
    }

    /// Lines that arrived stay, a file that is cut in the middle is of no use.
    fn give_up(self, lined: bool, error: &CliError, go_on: &str) -> CliError {
        if let (Self::File(_, path), false) = (&self, lined && !go_on.is_empty())
            && let Err(error) = std::fs::remove_file(path)
        {
            note!("{} is not whole and could not be taken away: {error}", path.display());
        }
        CliError::answered(Some(error.status()), format!("{error}{go_on}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_behind_the_last_line_that_is_whole() {
        let mut tail = Tail::default();
        assert_eq!(tail.id(), None);
        for piece in ["{\"id\":\"1/0\"}\n{\"id\"", ":\"2/0\"}", "\n{\"id\":\"3"] {
            tail.take(piece.as_bytes());
        }
        assert_eq!(tail.id().as_deref(), Some("2/0"));
    }

    #[test]
    fn what_is_asked_for_is_escaped() {
        let since = Some("2026-11-22T12:00:00+01:00".to_owned());
        assert_eq!(
            form(&[("format", Some("ndjson".into())), ("site", None), ("since", since)]),
            "format=ndjson&since=2026-11-22T12%3A00%3A00%2B01%3A00"
        );
    }
}
