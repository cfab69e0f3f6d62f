//! MSRP: incremental reader, URIs, writer
