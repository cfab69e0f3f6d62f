//! Thin control plane: admin HTTP, metrics, health
