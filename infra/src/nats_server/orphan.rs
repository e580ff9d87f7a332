//! One store, one server: the lock on a store, and the nats-server that an earlier run left behind.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::config::Layout;
use super::error::NatsServerError;
use super::process::{Signal, signal};

const POLL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(15);

/// Takes the store for this process until the file is closed. The system lets go of it when the process ends, however it ends.
pub(super) fn lock(layout: &Layout) -> Result<File, NatsServerError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&layout.lock)
        .map_err(NatsServerError::io("open", &layout.lock))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(NatsServerError::StoreInUse { store: layout.store.clone() }),
        Err(TryLockError::Error(error)) => Err(NatsServerError::io("lock", &layout.lock)(error)),
    }
}

/// Ends a nats-server that still holds this store. Call it with the lock held: then whatever runs there belongs to nobody.
pub(super) async fn end(binary: &Path, layout: &Layout) -> Result<(), NatsServerError> {
    let Some(pid) = orphan(layout) else { return Ok(()) };
    tracing::warn!(pid, "ending the nats-server that an earlier run left behind");
    for told in [Signal::Terminate, Signal::Kill] {
        signal(binary, told, pid).await;
        if tokio::time::timeout(PATIENCE, gone(layout)).await.is_ok() {
            return Ok(());
        }
    }
    Err(NatsServerError::OrphanStays { pid, store: layout.store.clone() })
}

async fn gone(layout: &Layout) {
    while orphan(layout).is_some() {
        tokio::time::sleep(POLL).await;
    }
}

/// The process that the store's pid file names, if it lives and is a nats-server with our configuration file. Process ids are used again,
/// so the id alone proves nothing.
fn orphan(layout: &Layout) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(&layout.pid).ok()?.trim().parse().ok()?;
    let config = layout.config.to_str()?;
    let command_line = command_line(pid)?;
    (command_line.contains("nats-server") && command_line.contains(config)).then_some(pid)
}

/// The command line of a living process, words parted by blanks.
fn command_line(pid: u32) -> Option<String> {
    if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    if Path::new("/proc/self").exists() {
        return None;
    }
    let output = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
