//! The composition root: the only crate that joins `infra` with the services.
//!
//! - [`cli`]: the command line, one file per subcommand.
//! - [`platform`]: one process with all services and a supervised nats-server.
//! - [`demo`]: invented participants, sent through the public API.
//! - [`drill`]: loses a site and restores it, to see who comes back.
//! - [`mod@bench`]: measures a platform of its own beside raw limits.
//! - [`soak`]: killed while it is written to, again and again.

#[macro_use]
pub mod cli;
pub mod bench;
pub mod demo;
pub mod drill;
pub mod platform;
pub mod soak;

pub use platform::restore;
