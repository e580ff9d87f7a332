//! projection-svc.
