//! it

mod dependency_rules;
