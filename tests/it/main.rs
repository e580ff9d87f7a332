//! The whole platform on real parts: one test binary.

mod backup;
mod capture;
mod cluster;
mod contract;
mod crash;
mod damage;
mod demo;
mod dependency_rules;
mod drill;
mod erasure;
mod failpoints;
mod isolation;
mod observability;
mod odm_import;
mod others_bugs;
mod pilot;
mod refusals;
mod retries;
mod s3;
mod traps;
mod upcasting;
mod verify;
mod walkthrough;
mod workflow;

/// The command line under test.
fn binary() -> tests::binary::Binary {
    tests::binary::Binary::at(env!("CARGO_BIN_EXE_lethe-under-test"))
}
