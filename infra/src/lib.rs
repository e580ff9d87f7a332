//! infra.

pub mod nats_server;
pub mod telemetry;
pub mod chance;
pub(crate) mod frame;
pub mod keys;
pub mod seal;
pub mod journal;
pub mod store;
