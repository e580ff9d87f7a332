//! The whole platform on real parts: one test binary.

mod contract;
mod crash;
mod damage;
mod demo;
mod dependency_rules;
mod erasure;
mod isolation;
mod observability;
mod odm_import;
mod refusals;
mod retries;
mod s3;
mod upcasting;
mod walkthrough;

/// The command line under test.
fn binary() -> tests::binary::Binary {
    tests::binary::Binary::at(env!("CARGO_BIN_EXE_lethe-under-test"))
}
