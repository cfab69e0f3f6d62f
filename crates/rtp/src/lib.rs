//! RTP and RTCP headers
