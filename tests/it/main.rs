//! The whole platform on real parts: one test binary.

mod access;
mod backup;
mod capture;
mod cluster;
mod contract;
mod crash;
mod damage;
mod datasets;
mod demo;
mod dependency_rules;
mod detection;
mod door;
mod drill;
mod enrolment;
mod erasure;
mod exports;
mod failpoints;
mod faults;
mod figures;
mod fuzz;
mod hostile;
mod intake;
mod isolation;
mod judges;
mod laws;
mod limits;
mod machines;
mod observability;
mod odm_import;
mod oidc;
mod operations;
mod others_bugs;
mod passkeys;
mod pilot;
mod refusals;
mod retries;
mod reviews;
mod rollout;
mod s3;
mod second_door;
mod tls;
mod trail;
mod traps;
mod upcasting;
mod verify;
mod walkthrough;
mod workflow;

/// The command line under test.
fn binary() -> tests::binary::Binary {
    tests::binary::Binary::at(env!("CARGO_BIN_EXE_lethe-under-test"))
}
