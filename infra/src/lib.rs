//! The ports made real: the only crate that names NATS, the store, the cipher and OpenTelemetry.
//!
//! - [`journal`]: the record, on JetStream. [`seal`]: the one place that encrypts. [`keys`]: the key tree and the KMS.
//! - [`off_site`]: what stands elsewhere. [`backup`]: copies of the record, in the files of [`archive`].
//! - [`exports`]: holds the files of exports, sealed.
//! - [`store`]: the read store, on redb or sled. [`nats_server`]: finds, starts and watches the server.
//! - [`requests`]: the second door, a NATS micro service.
//! - [`key_map`]: proves which keys went, and that no other did.
//! - [`log`]: the Merkle log of a journal stream and its signed checkpoints.
//! - [`verify`]: reads whole journal streams and says what is damaged.
//! - [`certificate`]: issues and checks the certificate of an erasure.
//! - [`secrets`]: passwords and one-time codes. [`passkeys`]: what they say, checked. [`oidc`]: identity providers of others. [`tls`]: certificates and the listener that shows them.
//! - [`chance`]: the clock and the dice of the system. [`telemetry`]: logs, traces, metrics.

pub mod archive;
pub mod backup;
pub mod certificate;
pub mod chance;
pub mod exports;
pub(crate) mod frame;
pub mod journal;
pub mod key_map;
pub mod keys;
pub mod log;
pub mod nats_server;
pub mod off_site;
pub mod oidc;
pub mod passkeys;
pub(crate) mod pinned;
pub mod requests;
pub mod seal;
pub mod secrets;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod verify;
