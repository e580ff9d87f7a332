//! One process alone: every way through the machine. All interleavings: `model`.
