//! infra.

pub mod nats_server;
pub mod telemetry;
