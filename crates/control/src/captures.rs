//! `/v1/captures`: the packets of one call as a pcap file, bounded in time and size.
//!
//! ```text
//! POST    /v1/captures            begins one  { "call_id", "seconds"?, "bytes_max"?, "view"? }
//! GET     /v1/captures            all of them
//! GET     /v1/captures/ID         one
//! GET     /v1/captures/ID/pcap    the file so far
//! DELETE  /v1/captures/ID         forgets it
//! ```
//! The header `X-Operator` names who it is for. Who listened to whom is written to the log under the
//! target `audit`. Files are kept in memory only: they end with the process.

use crate::problem::Problem;
use crate::request::{body_of, json, json_only, off_loop, operator};
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;
use telemetry::capture::{Capture, Side};

/// Who can copy packets: the data plane.
pub trait Tapper: Send + Sync {
    /// Begins to fill `capture`, for so many seconds. How many media sessions of its call there are;
    /// `None` if that could not be learnt in time.
    fn tap(&self, capture: &Arc<Capture>, seconds: u64) -> Option<usize>;
}

/// All captures of the node.
#[derive(Default)]
pub struct Captures {
    tapper: OnceLock<Box<dyn Tapper>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    last_id: u64,
    captures: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    id: u64,
    by: Box<str>,
    started_at: Duration,
    seconds: u64,
    sessions: usize,
    capture: Arc<Capture>,
}

/// Kept at a time, those that ended included.
const CAPTURES_MAX: usize = 4;
const SECONDS_MAX: u64 = 600;
const BYTES_MIN: usize = 4_096;
const BYTES_MAX: usize = 64 << 20;
const CALL_ID_BYTES_MAX: usize = 128;
const BODY_BYTES_MAX: usize = 4_096;

impl fmt::Debug for Captures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Captures({})", self.kept().captures.len())
    }
}

impl Captures {
    /// Says who copies packets; before that, no capture can begin.
    pub fn attach(&self, tapper: Box<dyn Tapper>) {
        // A second one is not taken: there is one data plane.
        let _ = self.tapper.set(tapper);
    }

    fn begin(&self, order: OrderIn, by: Box<str>) -> Result<CaptureOut, Problem> {
        let OrderIn { call_id, seconds, bytes_max, view } = order.checked()?;
        let tapper = self
            .tapper
            .get()
            .ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the node is starting"))?;
        let started_at = since_1970();
        let ends_at = started_at + Duration::from_secs(seconds);
        let capture = Arc::new(Capture::new(&call_id, view.side(), ends_at, bytes_max));
        let mut kept = self.kept();
        if kept.captures.len() >= CAPTURES_MAX {
            let detail = format!("{CAPTURES_MAX} captures are kept; delete one");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "a shard is too busy to answer; repeat");
        let sessions = tapper.tap(&capture, seconds).ok_or_else(busy)?;
        if sessions == 0 {
            let detail = "no media session here belongs to this Call-ID";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        kept.last_id += 1;
        let entry = Entry { id: kept.last_id, by, started_at, seconds, sessions, capture };
        kept.captures.push(entry.clone());
        drop(kept);
        let view = view.label();
        tracing::warn!(target: "audit", by = &*entry.by, %call_id, seconds, bytes_max, view, id = entry.id, "capture begun");
        Ok(CaptureOut::of(&entry))
    }

    fn list(&self) -> Vec<CaptureOut> {
        self.kept().captures.iter().map(CaptureOut::of).collect()
    }

    fn find(&self, id: u64) -> Result<Entry, Problem> {
        let found = self.kept().captures.iter().find(|entry| entry.id == id).cloned();
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such capture"))
    }

    fn file(&self, id: u64, by: &str) -> Result<Vec<u8>, Problem> {
        let entry = self.find(id)?;
        tracing::warn!(target: "audit", by, call_id = &*entry.capture.call_id, id, "capture read");
        Ok(entry.capture.file())
    }

    fn delete(&self, id: u64, by: &str) -> Result<(), Problem> {
        let entry = self.find(id)?;
        // Whatever the shards still write is written into nothing.
        entry.capture.end();
        self.kept().captures.retain(|entry| entry.id != id);
        tracing::warn!(target: "audit", by, call_id = &*entry.capture.call_id, id, "capture deleted");
        Ok(())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of captures.
pub fn router(captures: Arc<Captures>) -> Router {
    let [for_list, for_one, for_file, for_delete] = [(); 4].map(|()| Arc::clone(&captures));
    let begin = move |request: Request| {
        let captures = Arc::clone(&captures);
        async move { begin(captures, request).await.unwrap_or_else(IntoResponse::into_response) }
    };
    let list = move || async move { Json(List { captures: for_list.list() }) };
    let one =
        move |Path(id): Path<u64>| async move { for_one.find(id).map(|entry| Json(CaptureOut::of(&entry))) };
    let file = move |Path(id): Path<u64>, headers: HeaderMap| async move {
        let by = operator(&headers)?;
        let file = off_loop(move || for_file.file(id, &by)).await??;
        let name = format!("attachment; filename=\"capture-{id}.pcap\"");
        let head = [
            (header::CONTENT_TYPE, "application/vnd.tcpdump.pcap".to_owned()),
            (header::CONTENT_DISPOSITION, name),
        ];
        Ok::<_, Problem>((head, file))
    };
    let delete = move |Path(id): Path<u64>, headers: HeaderMap| async move {
        let by = operator(&headers)?;
        for_delete.delete(id, &by)?;
        Ok::<_, Problem>(StatusCode::NO_CONTENT)
    };
    Router::new()
        .route("/v1/captures", post(begin).get(list))
        .route("/v1/captures/{id}", get(one).delete(delete))
        .route("/v1/captures/{id}/pcap", get(file))
}

async fn begin(captures: Arc<Captures>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let by = operator(&head.headers)?;
    json_only(&head.headers)?;
    let body = body_of(body, BODY_BYTES_MAX).await?;
    let begun = off_loop(move || captures.begin(json(&body)?, by)).await??;
    let location = format!("/v1/captures/{}", begun.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(begun)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderIn {
    call_id: String,
    #[serde(default = "default_seconds")]
    seconds: u64,
    #[serde(default = "default_bytes")]
    bytes_max: usize,
    #[serde(default)]
    view: View,
}

const fn default_seconds() -> u64 {
    60
}

const fn default_bytes() -> usize {
    16 << 20
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum View {
    #[default]
    Wire,
    Plain,
}

impl View {
    const fn side(self) -> Side {
        match self {
            Self::Wire => Side::Wire,
            Self::Plain => Side::Plain,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Plain => "plain",
        }
    }
}

impl OrderIn {
    fn checked(self) -> Result<Self, Problem> {
        if self.call_id.is_empty() {
            return Err(Problem::of_field("call_id", "empty"));
        }
        if !(1..=SECONDS_MAX).contains(&self.seconds) {
            return Err(Problem::of_field("seconds", format!("not within 1..={SECONDS_MAX}")));
        }
        if !(BYTES_MIN..=BYTES_MAX).contains(&self.bytes_max) {
            return Err(Problem::of_field("bytes_max", format!("not within {BYTES_MIN}..={BYTES_MAX}")));
        }
        // As the data plane keeps it.
        let mut call_id = self.call_id;
        call_id.truncate(call_id.floor_char_boundary(CALL_ID_BYTES_MAX));
        Ok(Self { call_id, ..self })
    }
}

#[derive(Serialize)]
struct List {
    captures: Vec<CaptureOut>,
}

#[derive(Serialize)]
struct CaptureOut {
    id: u64,
    call_id: String,
    view: View,
    by: String,
    /// Seconds since 1970.
    started_at: u64,
    seconds: u64,
    is_over: bool,
    /// Media sessions that the call had at the start.
    sessions: usize,
    packets: u64,
    /// Packets left out: no room, or the file was being read.
    missed: u64,
    bytes: usize,
}

impl CaptureOut {
    fn of(entry: &Entry) -> Self {
        let held = entry.capture.held();
        Self {
            id: entry.id,
            call_id: entry.capture.call_id.to_string(),
            view: match entry.capture.side {
                Side::Wire => View::Wire,
                Side::Plain => View::Plain,
            },
            by: entry.by.to_string(),
            started_at: entry.started_at.as_secs(),
            seconds: entry.seconds,
            is_over: entry.capture.is_over(since_1970()),
            sessions: entry.sessions,
            packets: held.packets,
            missed: held.missed,
            bytes: held.bytes,
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::admin::Admin;
    use crate::state::NodeState;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use telemetry::Telemetry;

    /// Knows one call, and writes one packet into each capture of it.
    struct Calls;

    impl Tapper for Calls {
        fn tap(&self, capture: &Arc<Capture>, _: u64) -> Option<usize> {
            if *capture.call_id == *"a@b" {
                let at = |text: &str| text.parse().unwrap();
                capture.write(since_1970(), at("192.0.2.1:1"), at("192.0.2.2:2"), b"voice");
            }
            match &*capture.call_id {
                "a@b" => Some(2),
                "busy" => None,
                _ => Some(0),
            }
        }
    }

    fn ask(at: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(at).unwrap();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Operator: alice\r\n{kind}\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer.split_off(end))
    }

    #[test]
    fn a_capture_from_order_to_file() {
        let captures = Arc::new(Captures::default());
        let at = "127.0.0.1:0".parse().unwrap();
        let routes = router(Arc::clone(&captures));
        let admin =
            Admin::start_with(at, Arc::new(Telemetry::default()), Arc::new(NodeState::default()), routes)
                .unwrap();
        let post = |body: &str| {
            let (status, answer) = ask(admin.address(), "POST", "/v1/captures", body);
            (status, serde_json::from_slice::<serde_json::Value>(&answer).unwrap())
        };
        assert_eq!(post(r#"{"call_id":"a@b"}"#).0, 503, "no data plane yet");
        captures.attach(Box::new(Calls));
        for (body, expected) in [
            (r#"{"call_id":""}"#, 400),
            (r#"{"call_id":"a@b","seconds":0}"#, 400),
            (r#"{"call_id":"a@b","seconds":601}"#, 400),
            (r#"{"call_id":"a@b","bytes_max":1}"#, 400),
            (r#"{"call_id":"a@b","view":"ear"}"#, 400),
            (r#"{"call":"a@b"}"#, 400),
            (r#"{"call_id":"nobody"}"#, 404),
            (r#"{"call_id":"busy"}"#, 503),
        ] {
            assert_eq!(post(body).0, expected, "{body}");
        }
        let (status, begun) = post(r#"{"call_id":"a@b","view":"plain","seconds":5}"#);
        assert_eq!((status, &begun["id"], &begun["sessions"]), (201, &1.into(), &2.into()), "{begun}");
        assert_eq!((&begun["by"], &begun["view"]), (&"alice".into(), &"plain".into()));
        let (status, file) = ask(admin.address(), "GET", "/v1/captures/1/pcap", "");
        assert_eq!(
            (status, &file[..4], file.ends_with(b"voice")),
            (200, &[0xd4, 0xc3, 0xb2, 0xa1][..], true)
        );
        for _ in 1..CAPTURES_MAX {
            assert_eq!(post(r#"{"call_id":"a@b"}"#).0, 201);
        }
        assert_eq!(post(r#"{"call_id":"a@b"}"#).0, 409, "bounded");
        let (_, list) = ask(admin.address(), "GET", "/v1/captures", "");
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        assert_eq!(list["captures"].as_array().unwrap().len(), CAPTURES_MAX);
        assert_eq!(list["captures"][0]["packets"], 1);
        assert_eq!(ask(admin.address(), "DELETE", "/v1/captures/1", "").0, 204);
        for (method, path) in
            [("DELETE", "/v1/captures/1"), ("GET", "/v1/captures/1"), ("GET", "/v1/captures/1/pcap")]
        {
            assert_eq!(ask(admin.address(), method, path, "").0, 404, "{method} {path}");
        }
        assert_eq!(ask(admin.address(), "GET", "/v1/captures/2", "").0, 200);
    }
}
