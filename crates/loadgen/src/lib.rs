//! Capacity tool: open-loop arrivals and latency histograms
