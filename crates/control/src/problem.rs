//! Errors as RFC 9457 problem documents, which name the field at fault.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// Where it stands: `entries[3].prefix`.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) reason: String,
}

/// The answer to a request that was not carried out.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    faults: Vec<Fault>,
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), faults: Vec::new(), more: Map::new() }
    }

    /// A request with faulty fields.
    pub(crate) fn of_fields(faults: Vec<Fault>) -> Self {
        let detail = "nothing was changed: see errors";
        Self { faults, ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// A request with one faulty field.
    pub(crate) fn of_field(field: &str, reason: impl Into<String>) -> Self {
        Self::of_fields(vec![Fault { field: field.to_owned(), reason: reason.into() }])
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.more.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = self.more;
        document.insert("title".into(), self.status.canonical_reason().unwrap_or_default().into());
        document.insert("status".into(), self.status.as_u16().into());
        document.insert("detail".into(), self.detail.into());
        if !self.faults.is_empty() {
            document.insert("errors".into(), serde_json::to_value(self.faults).unwrap_or_default());
        }
        let body = format!("{}\n", Value::Object(document));
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
