//! lethe.
