//! The tree as a whole.

mod crash;
mod leases;
mod mistakes;
mod off_site;
mod outcomes;
mod property;
mod shared_writes;
mod world;
