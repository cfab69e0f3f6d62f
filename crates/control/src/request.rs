//! What all routes that write have in common.

use crate::problem::Problem;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

const OPERATOR_BYTES_MAX: usize = 64;

/// Disk, shards and millions of entries: none of it may hold up health checks.
pub(crate) async fn off_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed; the log says more"))
}

/// The whole body, if it has no more than `max` bytes.
pub(crate) async fn body_of(body: Body, max: usize) -> Result<axum::body::Bytes, Problem> {
    let too_large = format!("the body could not be read within {max} bytes");
    let read = to_bytes(body, max).await;
    read.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, too_large))
}

/// No form on a web page can send this type, so no browser on this host is led to write.
pub(crate) fn json_only(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => {
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"))
        }
    }
}

/// Who it is for: the header `X-Operator`.
pub(crate) fn operator(headers: &HeaderMap) -> Result<Box<str>, Problem> {
    let Some(value) = headers.get("x-operator") else {
        return Ok("loopback".into());
    };
    let text = value.to_str().ok().filter(|text| (1..=OPERATOR_BYTES_MAX).contains(&text.len()));
    let wrong =
        || Problem::of_field("X-Operator", format!("not 1 to {OPERATOR_BYTES_MAX} visible characters"));
    text.map(Into::into).ok_or_else(wrong)
}

/// The body as JSON.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::of_field("body", error.to_string()))
}
