//! The supervised nats-server: found or installed, configured, started on loopback and kept running.
//!
//! One machine needs nothing but the `lethe` binary: it runs a nats-server of its own as a child process. In order of use:
//!
//! - [`locate`] finds a binary that is safe to use ([`locate_or_install`] also fetches one, for the demo and for tests);
//! - [`NatsServer::start`] writes the configuration, ends what an earlier run left behind, and starts it;
//! - [`NatsServer::credentials`] hands out the two logins of a tenant, [`NatsServer::add_tenant`] adds a tenant while it runs;
//! - [`NatsServer::shutdown`] ends it.
//!
//! A NATS that others run is [`NatsElsewhere`]; [`write_accounts`] writes the accounts that it needs.
//!
//! What must never be there: a listener that is not on loopback, a user without a password, a password in an argument or a log.
//! Linux and macOS only.

mod accounts;
mod config;
mod elsewhere;
mod error;
mod find;
mod install;
mod keep;
mod launch;
mod log;
mod orphan;
mod process;
mod ready;
mod supervise;
mod version;

#[cfg(test)]
mod tests;

pub use accounts::{DoorLogins, NatsLogin, TenantAccount, TenantLogins};
pub use elsewhere::{ElsewhereError, NatsElsewhere, WrittenAccounts, write_accounts};
pub use error::{NatsServerError, Skipped};
pub use find::locate;
pub use install::locate_or_install;
pub use process::Lifeline;
pub use supervise::{NatsServer, NatsServerOptions, ServerState};
