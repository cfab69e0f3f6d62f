//! Where log lines go: through a bounded queue to one writer thread, so that a slow terminal or a
//! full pipe never holds up a shard.

use core::sync::atomic::{AtomicU64, Ordering};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::io::{self, Write};
use std::thread;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

const LINES_QUEUED_MAX: usize = 4_096;

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines that found the queue full since the process started.
#[must_use]
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Starts logging to standard error at `level` (`error`, `warn`, `info`, `debug`, `trace`).
///
/// `RUST_LOG` overrules the level, module by module. The guard writes out what is queued when it
/// is dropped: keep it until the end of `main`.
///
/// # Errors
/// If logging was started before, or the writer thread cannot be.
pub fn start(level: &str, format: Format) -> io::Result<Guard> {
    let colours = io::IsTerminal::is_terminal(&io::stderr());
    let (writer, guard) = queue(io::stderr())?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = match format {
        Format::Text => builder.with_ansi(colours).finish().try_init(),
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    started.map(|()| guard).map_err(io::Error::other)
}

/// Writes out what is queued when dropped.
#[derive(Debug)]
pub struct Guard {
    lines: Sender<Line>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.lines.send(Line::End);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

enum Line {
    Text(Vec<u8>),
    End,
}

fn queue(sink: impl Write + Send + 'static) -> io::Result<(Lines, Guard)> {
    let (lines, queued) = bounded(LINES_QUEUED_MAX);
    let writer = thread::Builder::new().name("log".to_owned()).spawn(move || write_out(&queued, sink))?;
    Ok((Lines(lines.clone()), Guard { lines, writer: Some(writer) }))
}

fn write_out(queued: &Receiver<Line>, mut sink: impl Write) {
    while let Ok(Line::Text(line)) = queued.recv() {
        // Nobody is left to tell when standard error is gone.
        let _ = sink.write_all(&line);
        if queued.is_empty() {
            let _ = sink.flush();
        }
    }
    let _ = sink.flush();
}

/// Hands each finished line to the writer thread.
#[derive(Clone)]
struct Lines(Sender<Line>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OneLine<'a>;
    fn make_writer(&'a self) -> OneLine<'a> {
        OneLine { lines: &self.0, text: Vec::with_capacity(256) }
    }
}

struct OneLine<'a> {
    lines: &'a Sender<Line>,
    text: Vec<u8>,
}

impl Write for OneLine<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(part);
        Ok(part.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for OneLine<'_> {
    fn drop(&mut self) {
        let text = core::mem::take(&mut self.text);
        if !text.is_empty()
            && let Err(TrySendError::Full(_)) = self.lines.try_send(Line::Text(text))
        {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(part);
            Ok(part.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_queued_is_written_before_the_guard_is_gone() {
        let sink = Shared::default();
        let (lines, guard) = queue(sink.clone()).unwrap();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines).finish();
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..100 {
                tracing::warn!(cause = "flow_gone", call_id = "a@b", n, "rejected");
            }
        });
        drop(guard);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 100);
        let last = text.lines().last().unwrap();
        for part in ["\"level\":\"WARN\"", "\"cause\":\"flow_gone\"", "\"call_id\":\"a@b\"", "\"n\":99"] {
            assert!(last.contains(part), "{part} in {last}");
        }
    }
}
