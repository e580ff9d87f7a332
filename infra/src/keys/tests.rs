//! The tree as a whole.

mod crash;
mod kms_down;
mod leases;
mod mistakes;
mod outcomes;
mod property;
mod shared_writes;
mod world;
