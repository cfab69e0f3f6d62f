//! SDP: line-preserving reader and editor
