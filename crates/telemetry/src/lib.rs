//! Metric names, help texts and log set-up
