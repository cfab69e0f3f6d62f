//! Whole flows through one edge: real messages of the specification in, and every header of what
//! leaves compared.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod anything;
mod audio;
mod blacklist;
mod call_ends;
mod calls;
mod chaos;
mod compare;
mod content;
mod emergency;
mod hiding;
mod invites;
mod leaks;
mod messaging;
mod nat;
mod network;
mod next_hops;
mod numbers;
mod races;
mod reg_event;
mod registration;
mod restart;
mod robustness;
mod rules;
mod security;
mod services;
mod subscriptions;
mod topology;
mod transactions;
mod trust;
mod ue;
mod world;
