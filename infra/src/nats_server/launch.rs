//! Starts the server once, with the settings of this moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::config::{Layout, Settings};
use super::error::NatsServerError;
use super::log::{Gravity, LogTail, grave};
use super::process::Process;
use super::ready;
use super::supervise::NatsServerOptions;

const POLL: Duration = Duration::from_millis(50);

/// A server that runs and is healthy.
pub(super) struct Launched {
    pub(super) process: Process,
    pub(super) address: String,
    pub(super) log: LogTail,
}

/// What callers and the keeper both use.
pub(super) struct Shared {
    options: NatsServerOptions,
    pub(super) layout: Layout,
    settings: Mutex<Settings>,
}

impl Shared {
    pub(super) fn new(options: NatsServerOptions, layout: Layout) -> Result<Self, NatsServerError> {
        let settings = Mutex::new(Settings::new(&options.tenants)?);
        Ok(Self { options, layout, settings })
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        // Each change is one step, so what a panicking thread left is whole.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the settings and the configuration file. The server takes note at its next reload or start.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> Result<(), NatsServerError> {
        let mut settings = self.settings();
        change(&mut settings);
        settings.write(&self.layout)
    }

    /// Starts the server once and waits until it is healthy and has read everything that is on disk.
    pub(super) async fn launch(&self) -> Result<Launched, NatsServerError> {
        self.settings().write(&self.layout)?;
        ready::forget_address(&self.layout.ports).map_err(NatsServerError::io("clear", &self.layout.ports))?;
        let mut log = LogTail::at_end(&self.layout.log);
        let mut process = Process::spawn(&self.options.binary, &self.layout)?;

        let mut detail = "it does not listen yet".to_owned();
        let health = tokio::select! {
            status = process.ended() => {
                let (detail, log) = (self.last_words(&mut log), self.layout.log.clone());
                return Err(NatsServerError::Exited { status, detail, log });
            }
            health = self.health(&mut detail) => Some(health),
            () = sleep(self.options.start_patience) => None,
        };
        // The health report names the journal stream, the log says what is wrong with it.
        let problem = match (health, log.forward()) {
            (Some(Ok(address)), None) => return Ok(Launched { process, address, log }),
            (Some(Err(stream)), Some(line)) => self.unreadable(format!("{stream} ({line})")),
            (Some(Err(line)), None) | (_, Some(line)) => self.unreadable(line),
            (None, None) => self.not_ready(detail),
        };
        process.stop().await;
        Err(problem)
    }

    fn unreadable(&self, line: String) -> NatsServerError {
        let store = self.layout.store.clone();
        NatsServerError::StoreUnreadable { line, store }
    }

    fn not_ready(&self, detail: String) -> NatsServerError {
        let (seconds, log) = (self.options.start_patience.as_secs(), self.layout.log.clone());
        NatsServerError::NotReady { seconds, detail, log }
    }

    /// Waits until the server is healthy and gives its address. An error is what it says of a journal stream that it could not read.
    async fn health(&self, detail: &mut String) -> Result<String, String> {
        let address = ready::address(&self.layout.ports).await;
        let system = self.settings().system.clone();
        loop {
            match ready::health(&address, &system).await {
                Ok(()) => return Ok(address),
                // It listens only after it has read its store, so this will not change.
                Err(reason) if reason.contains("could not be recovered") => return Err(reason),
                Err(reason) => *detail = reason,
            }
            sleep(POLL).await;
        }
    }

    /// What a server that ended had to say.
    fn last_words(&self, log: &mut LogTail) -> String {
        let mut words: Vec<String> = log
            .new_lines()
            .iter()
            .filter_map(|line| grave(line))
            .filter(|(gravity, _)| *gravity != Gravity::Warning)
            .map(|(_, text)| text.to_owned())
            .collect();
        let stderr = std::fs::read_to_string(&self.layout.stderr).unwrap_or_default();
        words.extend(stderr.lines().rev().take(3).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
        if words.is_empty() { "it said nothing".to_owned() } else { words.join("; ") }
    }
}
