//! The whole platform on real parts. Everything is in the one test binary `it`; this library holds what its tests share.

pub mod api;
pub mod binary;
pub mod cluster;
pub mod door;
pub mod home;
pub mod passkey;
pub mod people;
