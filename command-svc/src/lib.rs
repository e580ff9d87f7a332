//! command-svc.
