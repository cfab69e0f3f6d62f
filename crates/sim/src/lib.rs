//! Deterministic network simulator: virtual clock, loss, reordering, seeds
