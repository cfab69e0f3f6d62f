//! `gatehouse ctl`: small questions of operators, each answered by a module of its own.

mod headers;
mod number;

use clap::Subcommand;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use wire::Realm;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes the message on standard input through the header rules and shows what they do to it; exit
    /// status 0, 1 if the configuration or the message cannot be read, 2 if a rule rejects it.
    Headers(headers::Options),
    /// Shows what the number plan makes of a number, and which rule does what.
    Number(number::Options),
}

/// Answers it.
pub(crate) fn run(command: &Command) -> ExitCode {
    match command {
        Command::Headers(options) => headers::run(options),
        Command::Number(options) => number::run(options),
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Direction {
    /// A UE sent it.
    FromAccess,
    /// The core sent it.
    FromCore,
}

impl Direction {
    pub(crate) const fn realm(self) -> Realm {
        match self {
            Self::FromAccess => Realm::Access,
            Self::FromCore => Realm::Core,
        }
    }
}

/// Reads the configuration, or says on standard error what is wrong with it; the files it names are not opened.
pub(crate) fn load(path: &Path) -> Result<config::Config, ExitCode> {
    config::Config::load(path).map(|(config, _)| config).map_err(|errors| {
        crate::check::report("", &errors);
        ExitCode::FAILURE
    })
}

/// A captured message: line ends may have become those of a text file on the way through an editor.
pub(crate) fn read_message() -> Result<Vec<u8>, ExitCode> {
    let mut bytes = Vec::new();
    if let Err(error) = std::io::stdin().lock().take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes) {
        return Err(fail(&format!("cannot read the message: {error}")));
    }
    Ok(with_line_ends(bytes))
}

const MESSAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Puts CRLF into a head that has bare LF throughout, and an empty line at its end if there is none.
fn with_line_ends(bytes: Vec<u8>) -> Vec<u8> {
    let bare = !bytes.windows(2).any(|pair| pair == b"\r\n");
    let mut message = bytes;
    if bare {
        let head = message.windows(2).position(|pair| pair == b"\n\n").map_or(message.len(), |at| at + 2);
        let body = message.split_off(head);
        message = message
            .iter()
            .flat_map(|b| if *b == b'\n' { &b"\r\n"[..] } else { core::slice::from_ref(b) })
            .copied()
            .collect();
        message.extend_from_slice(&body);
    }
    if !message.windows(4).any(|four| four == b"\r\n\r\n") {
        if !message.ends_with(b"\r\n") {
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// Says what went wrong.
pub(crate) fn fail(what: &str) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_went_through_an_editor_is_one_again() {
        for (given, expected) in [
            ("A\nb: c\n\nbody\n", "A\r\nb: c\r\n\r\nbody\n"),
            ("A\r\nb: c\r\n\r\nx\n", "A\r\nb: c\r\n\r\nx\n"),
            ("A\nb: c\n", "A\r\nb: c\r\n\r\n"),
            ("A\r\nb: c", "A\r\nb: c\r\n\r\n"),
            ("", "\r\n\r\n"),
        ] {
            assert_eq!(with_line_ends(given.as_bytes().to_vec()), expected.as_bytes(), "{given:?}");
        }
    }
}
