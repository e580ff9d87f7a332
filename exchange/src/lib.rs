//! The formats in which a study leaves the platform, and comes in: pure translations between the platform's words and
//! bytes that others can read.
//!
//! - [`model`]: what a writer is given. A study's frame once, then one participant after another, so that a whole study
//!   streams in constant memory.
//! - [`odm`]: CDISC ODM 1.3.2 and 2.0. [`xml`]: well-formed XML, one tag at a time.
//!
//! Nothing here decides who may see what: who fills the model has already left out or marked what the recipient may not
//! see.

pub mod csv;
pub mod dataset_json;
pub mod error;
pub mod manifest;
pub mod model;
pub mod odm;
pub mod table;
pub mod xml;
pub mod xpt;

pub use error::ExchangeError;
