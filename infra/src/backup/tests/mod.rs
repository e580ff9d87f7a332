//! Backups of a real nats-server, and back.

mod back;
mod bench;
mod check;
mod make;
