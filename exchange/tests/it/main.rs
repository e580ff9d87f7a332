//! Whole files, judged by tools that nobody here wrote.

mod expected;
mod fixture;
mod judges;
mod pilot;
mod rich;
