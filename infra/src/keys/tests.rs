//! The tree as a whole.

mod adopt;
mod asks;
mod claim;
mod crash;
mod kms_down;
mod leases;
mod mistakes;
mod off_site;
mod outcomes;
mod property;
mod rotation;
mod shared_writes;
mod tend;
mod world;
