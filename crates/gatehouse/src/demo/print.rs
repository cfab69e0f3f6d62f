//! How the demo looks: colour on a terminal, plain in a pipe.

use core::time::Duration;
use lab::Violation;
use lab::scenario::Report;
use std::io::{IsTerminal as _, Write};

pub(crate) struct Printer {
    out: Box<dyn Write>,
    colour: bool,
}

#[derive(Clone, Copy)]
enum Paint {
    Green,
    Red,
    Grey,
    Bold,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Green => "32",
            Self::Red => "31",
            Self::Grey => "90",
            Self::Bold => "1",
        }
    }
}

/// Width of the flows' names.
const NAME_WIDTH: usize = 48;
/// How many violations are written out, of a flow and of the rest.
const VIOLATIONS_SHOWN: usize = 10;

impl Printer {
    /// To standard output; no colour if it is no terminal, or NO_COLOR is set (no-color.org).
    pub(crate) fn to_stdout() -> Self {
        let colour =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { out: Box::new(std::io::stdout()), colour }
    }

    /// Who stands where.
    pub(crate) fn head(&mut self, places: &[(&str, String)]) {
        let title = self.paint(Paint::Bold, "Gatehouse demo");
        self.line(&title);
        for (name, place) in places {
            let line = self.paint(Paint::Grey, &format!("{name:>6}  {place}"));
            self.line(&line);
        }
    }

    /// One flow.
    pub(crate) fn flow(&mut self, report: &Report) {
        let mark =
            if report.passed() { self.paint(Paint::Green, "✓") } else { self.paint(Paint::Red, "✗") };
        let (text, paint) = match &report.outcome {
            Ok(text) => (text, Paint::Grey),
            Err(text) => (text, Paint::Red),
        };
        let text = self.paint(paint, text);
        let took = milliseconds(report.took);
        self.line(&format!("{mark} {:<NAME_WIDTH$} {took:>9}  {text}", report.name));
        self.violations(&report.violations);
    }

    /// What was seen where it must not be.
    pub(crate) fn violations(&mut self, violations: &[Violation]) {
        for violation in violations.iter().take(VIOLATIONS_SHOWN) {
            let line = self.paint(Paint::Red, &format!("    {violation}"));
            self.line(&line);
        }
        if violations.len() > VIOLATIONS_SHOWN {
            self.line(&format!("    … and {} more", violations.len() - VIOLATIONS_SHOWN));
        }
    }

    /// The last line.
    pub(crate) fn summary(&mut self, passed: usize, flows: usize, violations: usize, took: Duration) {
        let good = passed == flows && violations == 0;
        let text =
            format!("{passed} of {flows} flows passed, {violations} violations, {}", milliseconds(took));
        let text = self.paint(if good { Paint::Green } else { Paint::Red }, &text);
        self.line(&text);
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, text: &str) {
        let text = self.paint(Paint::Grey, text);
        self.line(&text);
    }

    /// Why the demo could not run.
    pub(crate) fn failure(&mut self, text: &str) {
        let text = self.paint(Paint::Red, text);
        self.line(&text);
    }

    fn line(&mut self, text: &str) {
        // a reader that has gone away, as in `demo | head`, is no fault of a flow
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", paint.code()) } else { text.to_owned() }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(colour: bool, print: impl FnOnce(&mut Printer)) -> String {
        let page = Page::default();
        print(&mut Printer { out: Box::new(page.clone()), colour });
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn report(outcome: Result<String, String>) -> Report {
        Report { name: "a flow", outcome, took: Duration::from_micros(12_345), violations: Vec::new() }
    }

    #[test]
    fn a_pipe_gets_plain_lines() {
        let text = printed(false, |p| {
            p.flow(&report(Ok("went well".to_owned())));
            p.flow(&report(Err("went wrong".to_owned())));
            p.summary(1, 2, 0, Duration::from_millis(20));
        });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("✓ a flow ") && lines[0].ends_with("12.3 ms  went well"), "{text}");
        assert!(lines[1].starts_with("✗ a flow ") && lines[1].ends_with("12.3 ms  went wrong"), "{text}");
        assert_eq!(lines[2], "1 of 2 flows passed, 0 violations, 20.0 ms");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_terminal_gets_colour() {
        let text = printed(true, |p| p.flow(&report(Ok("went well".to_owned()))));
        assert!(text.starts_with("\x1b[32m✓\x1b[0m a flow"), "{text:?}");
    }
}
