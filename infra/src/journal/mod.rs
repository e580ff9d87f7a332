//! The journal on NATS JetStream.
//!
//! - [`names`]: which journal stream and which subject is whose. [`Provisioner`] creates journal streams, by explicit
//!   command only.
//! - [`JetStreamJournal`] is the port `Journal`: `append.rs` writes, `chain.rs` checks what `read.rs` gives, `feed.rs`
//!   follows. `group.rs` sends together what waits. [`JetStreamNodes`] is the key tree's port, [`NatsAnnouncements`]
//!   tells other processes of its fences.
//! - [`raw`]: messages as they are stored, unopened, for what copies, checks and proves a journal stream.
//! - [`Replicas`]: one replica after the other, for the check of all of them.
//! - `wire.rs` and `batch.rs` speak to the server, `refusal.rs` says what its errors mean, and `insist.rs` finds out
//!   what became of a message whose acknowledgement was lost.
//!
//! What must never be there: a create or a get-or-create at start; a wildcard in an expectation; a header of our own
//! other than the trace context; an acknowledgement that was not the server's.

mod announcements;
mod append;
mod batch;
mod chain;
mod connect;
mod direct;
mod feed;
mod group;
mod insist;
mod jetstream;
mod journals;
mod limit;
mod live;
pub mod names;
mod node_store;
mod own_writes;
mod pace;
mod privileges;
mod provision;
pub mod raw;
mod read;
mod refusal;
mod replicas;
mod tails;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

/// The one header of our own: W3C trace context, from the command to the projections.
const TRACEPARENT: &str = "traceparent";

pub use announcements::NatsAnnouncements;
pub use async_nats::Client;
pub use batch::{BatchAck, MAX_BATCH};
pub use connect::connect;
pub use group::Lane;
pub use jetstream::JetStreamJournal;
pub use limit::count_in_order;
pub use live::LiveJournals;
pub use node_store::JetStreamNodes;
pub use privileges::destructive_privileges;
pub use provision::{INCARNATIONS, ProvisionError, Provisioned, Provisioner};
pub use read::{Stored, Which};
pub use refusal::{ApiError, Code, Refusal, Verdict};
pub use replicas::{Holders, Replica, Replicas};
pub use wire::{Outgoing, Wire};
