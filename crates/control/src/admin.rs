//! The admin HTTP server: `/healthz`, `/readyz`, `/metrics`.

use crate::listener::Capped;
use crate::state::{NodeState, State};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use core::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use telemetry::Telemetry;
use tokio::sync::oneshot;

/// Why the admin server cannot start.
#[derive(Debug)]
pub enum AdminError {
    /// It carries neither TLS nor authentication, so it stays on loopback.
    NotLoopback(SocketAddr),
    /// The address cannot be bound, or the thread not started.
    Io(SocketAddr, io::Error),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(at) => write!(f, "admin.listen {at} is not a loopback address"),
            Self::Io(at, error) => write!(f, "admin.listen {at}: {error}"),
        }
    }
}

impl core::error::Error for AdminError {}

/// A running admin server; it stops when dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Binds `listen` and serves on a thread of its own.
    ///
    /// # Errors
    /// `NotLoopback` for any other address, `Io` if it cannot be bound.
    pub fn start(
        listen: SocketAddr,
        telemetry: Arc<Telemetry>,
        node: Arc<NodeState>,
    ) -> Result<Self, AdminError> {
        Self::start_with(listen, telemetry, node, Router::new())
    }

    /// The same, with more routes than health and metrics.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        listen: SocketAddr,
        telemetry: Arc<Telemetry>,
        node: Arc<NodeState>,
        more: Router,
    ) -> Result<Self, AdminError> {
        if !listen.ip().is_loopback() {
            return Err(AdminError::NotLoopback(listen));
        }
        let failed = |error| AdminError::Io(listen, error);
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let router = router(telemetry, node).merge(more);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let work = move || {
            runtime.block_on(async {
                // The socket is bound and non-blocking, so registering it fails only when memory is out.
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let server = axum::serve(Capped::new(listener), router);
                tokio::select! {
                    _ = server => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("admin".into()).spawn(work).map_err(failed)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens; the port is resolved if the configuration said 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was already reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn router(telemetry: Arc<Telemetry>, node: Arc<NodeState>) -> Router {
    let for_ready = Arc::clone(&node);
    Router::new()
        .route("/healthz", get(move || async move { health(node.state()) }))
        .route("/readyz", get(move || async move { ready(for_ready.state()) }))
        .route("/metrics", get(move || async move { metrics(&telemetry) }))
}

/// Alive: everything but going away.
fn health(state: State) -> Response {
    answer(state, state != State::Stopping)
}

/// Wants new work.
fn ready(state: State) -> Response {
    answer(state, state == State::InService)
}

fn answer(state: State, good: bool) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = format!("{{\"state\":\"{}\"}}\n", state.label());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn metrics(telemetry: &Telemetry) -> Response {
    let text = telemetry.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn health_readiness_and_metrics_follow_the_state() {
        let node = Arc::new(NodeState::default());
        let telemetry = Arc::new(Telemetry::default());
        let admin = Admin::start("127.0.0.1:0".parse().unwrap(), telemetry, Arc::clone(&node)).unwrap();
        let status = |path| ask(admin.address(), path).split(' ').nth(1).unwrap().to_owned();
        for (state, health, ready) in [
            (State::Starting, "200", "503"),
            (State::InService, "200", "200"),
            (State::Draining, "200", "503"),
            (State::Stopping, "503", "503"),
        ] {
            node.set(state);
            assert_eq!(
                (status("/healthz").as_str(), status("/readyz").as_str()),
                (health, ready),
                "{state:?}"
            );
        }
        assert!(ask(admin.address(), "/healthz").ends_with("{\"state\":\"stopping\"}\n"));
        let metrics = ask(admin.address(), "/metrics");
        assert!(metrics.contains("# TYPE gatehouse_"), "{metrics}");
        assert_eq!(status("/nothing"), "404");
    }

    #[test]
    fn only_loopback_is_served() {
        let refused = Admin::start(
            "192.0.2.1:9080".parse().unwrap(),
            Arc::new(Telemetry::default()),
            Arc::new(NodeState::default()),
        );
        assert!(matches!(refused, Err(AdminError::NotLoopback(_))));
    }

    #[test]
    fn it_stops_when_dropped_and_frees_its_port() {
        let start =
            |at| Admin::start(at, Arc::new(Telemetry::default()), Arc::new(NodeState::default())).unwrap();
        let admin = start("127.0.0.1:0".parse().unwrap());
        let address = admin.address();
        drop(admin);
        drop(start(address));
    }
}
