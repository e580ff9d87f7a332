//! Whole files, judged by tools that nobody here wrote.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod expected;
mod fixture;
mod judges;
mod pilot;
mod rich;
