//! `/v1/blacklist`: the list over HTTP with JSON.
//!
//! ```text
//! GET     a page of it, or what bars one address
//! POST    adds      { "entries": [ { "prefix", "ttl_seconds"?, "reason"? } ] }
//! PUT     replaces  the same
//! DELETE  removes   { "prefixes": [ … ] }
//! ```
//! Writes take `?preview=true` and `?confirm=N`; the header `X-Operator` names who they are for.

use super::{Blacklist, Consent, Entry, Order, Outcome, Refusal, now};
use crate::problem::{Fault, Problem};
use crate::query::Query;
use crate::request::{body_of, json, json_only, off_loop, operator};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use wire::Prefix;

/// A million entries with a reason each.
const BODY_BYTES_MAX: usize = 256 << 20;
/// Entries of one page.
const PAGE_MAX: usize = 10_000;
const PAGE: usize = 1_000;
/// Faults that one answer names.
const FAULTS_MAX: usize = 20;
const REASON_BYTES_MAX: usize = 200;
/// Ten years.
const TTL_SECONDS_MAX: u64 = 315_360_000;

/// The routes of the blacklist.
pub fn router(list: Arc<Blacklist>) -> Router {
    // Bodies are large: one at a time bounds what they take.
    let turn = Arc::new(Semaphore::new(1));
    let handle = move |request: Request| {
        let (list, turn) = (Arc::clone(&list), Arc::clone(&turn));
        async move { answer(list, &turn, request).await.unwrap_or_else(IntoResponse::into_response) }
    };
    Router::new().route("/v1/blacklist", any(handle))
}

async fn answer(list: Arc<Blacklist>, turn: &Semaphore, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let query = head.uri.query();
    let read: fn(&[u8], &str) -> Result<Order, Problem> = match head.method {
        Method::GET => {
            let query = Query::read(query, &["address", "after", "limit"])?;
            return off_loop(move || get(&list, &query)).await?.map(IntoResponse::into_response);
        }
        Method::POST => |body, by| entries(body, by).map(Order::Add),
        Method::PUT => |body, by| entries(body, by).map(Order::Replace),
        Method::DELETE => |body, _| prefixes(body).map(Order::Remove),
        _ => {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "GET, POST, PUT or DELETE");
            return Ok(([(header::ALLOW, "GET, POST, PUT, DELETE")], problem).into_response());
        }
    };
    let query = Query::read(query, &["confirm", "preview"])?;
    let consent = Consent {
        by: operator(&head.headers)?,
        confirm: query.get("confirm", "a number")?,
        preview: query.get("preview", "true or false")?.unwrap_or(false),
    };
    json_only(&head.headers)?;
    let _turn = turn.acquire().await;
    let body = body_of(body, BODY_BYTES_MAX).await?;
    let write = move || {
        let order = read(&body, &consent.by)?;
        drop(body);
        list.write(order, &consent).map_err(Problem::from)
    };
    off_loop(write).await?.map(|outcome: Outcome| Json(outcome).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntriesIn {
    entries: Vec<EntryIn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryIn {
    prefix: Box<str>,
    ttl_seconds: Option<u64>,
    #[serde(default)]
    reason: Box<str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixesIn {
    prefixes: Vec<Box<str>>,
}

fn entries(body: &[u8], by: &str) -> Result<Vec<(Prefix, Entry)>, Problem> {
    let EntriesIn { entries } = json(body)?;
    let (mut faults, added_at) = (Faults::default(), now());
    let mut read = Vec::with_capacity(entries.len());
    for (at, EntryIn { prefix, ttl_seconds, reason }) in entries.into_iter().enumerate() {
        let prefix = faults.prefix(&prefix, || format!("entries[{at}].prefix"));
        if ttl_seconds.is_some_and(|ttl| !(1..=TTL_SECONDS_MAX).contains(&ttl)) {
            let reason = format!("not within 1..={TTL_SECONDS_MAX}");
            faults.push(|| format!("entries[{at}].ttl_seconds"), reason);
        }
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            let reason = format!("longer than {REASON_BYTES_MAX} bytes, or with control characters");
            faults.push(|| format!("entries[{at}].reason"), reason);
        }
        let expires_at = ttl_seconds.map(|ttl| added_at.saturating_add(ttl));
        read.extend(prefix.map(|prefix| (prefix, Entry { reason, by: by.into(), added_at, expires_at })));
    }
    faults.none_or(read)
}

fn prefixes(body: &[u8]) -> Result<Vec<Prefix>, Problem> {
    let PrefixesIn { prefixes } = json(body)?;
    let mut faults = Faults::default();
    let mut faulty = |at, text: &str| faults.prefix(text, || format!("prefixes[{at}]"));
    let read = prefixes.iter().enumerate().filter_map(|(at, text)| faulty(at, text)).collect();
    faults.none_or(read)
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn push(&mut self, field: impl FnOnce() -> String, reason: String) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault { field: field(), reason });
        }
    }

    fn prefix(&mut self, text: &str, field: impl FnOnce() -> String) -> Option<Prefix> {
        text.parse().inspect_err(|error: &wire::PrefixError| self.push(field, error.to_string())).ok()
    }

    fn none_or<T>(self, read: T) -> Result<T, Problem> {
        if self.0.is_empty() { Ok(read) } else { Err(Problem::of_fields(self.0)) }
    }
}

#[derive(Serialize)]
struct Page {
    /// Prefixes on the whole list.
    count: usize,
    durable: bool,
    entries: Vec<EntryOut>,
    /// What to give as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct EntryOut {
    prefix: String,
    #[serde(flatten)]
    entry: Entry,
}

fn get(list: &Blacklist, query: &Query) -> Result<Json<Page>, Problem> {
    let limit = query.get("limit", "a number")?.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("not within 1..={PAGE_MAX}")));
    }
    let after: Option<Prefix> = query.get("after", "a prefix")?;
    let address: Option<IpAddr> = query.get("address", "an address")?;
    let out =
        |(prefix, entry): (&Prefix, &Entry)| EntryOut { prefix: prefix.to_string(), entry: entry.clone() };
    let inner = list.lock();
    let table = &inner.table;
    let mut entries: Vec<EntryOut> = match address {
        Some(address) => table.covering(address).map(out).collect(),
        None => table.page(after).take(limit + 1).map(out).collect(),
    };
    let more = address.is_none() && entries.len() > limit;
    entries.truncate(if more { limit } else { entries.len() });
    let next = entries.last().filter(|_| more).map(|entry| entry.prefix.clone());
    Ok(Json(Page { count: table.len(), durable: inner.store.is_durable(), entries, next }))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { count, max } => {
                let detail =
                    format!("nothing was changed: {count} prefixes, blacklist.prefixes_max is {max}");
                Self::new(StatusCode::CONFLICT, detail)
            }
            Refusal::Unconfirmed { cut, confirmed } => {
                let users = cut.registrations.max(cut.connections);
                let detail = format!(
                    "nothing was changed: this would cut {users} live users, and {confirmed} are confirmed; \
                     repeat with ?confirm={users}"
                );
                Self::new(StatusCode::CONFLICT, detail).with("cut", cut)
            }
            Refusal::Uncounted => {
                let detail = "nothing was changed: a shard is too busy to count what this would cut; \
                              repeat, or say with ?confirm=N how many users it may cut";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            Refusal::Store(error) => {
                let detail = format!("nothing was changed: the list cannot be kept: {error}");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, detail)
            }
        }
    }
}
