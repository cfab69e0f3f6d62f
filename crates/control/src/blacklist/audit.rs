//! Who changed what and when: a line in the log, and one in a file of its own that is kept.

use super::{Outcome, now};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wire::Prefix;

/// The audit log.
#[derive(Debug)]
pub(super) struct Audit(Option<Kept>);

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    file: File,
    bytes: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    at: u64,
    by: &'a str,
    action: &'a str,
    prefixes: Vec<String>,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// Then it becomes `audit.jsonl.1`, in place of the one before.
const BYTES_MAX: u64 = 64 << 20;

impl Audit {
    /// Goes on with the file in `directory`.
    pub(super) fn open(directory: Option<&Path>) -> io::Result<Self> {
        let Some(directory) = directory else {
            return Ok(Self(None));
        };
        let path = directory.join("audit.jsonl");
        let file = append_to(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self(Some(Kept { path, file, bytes })))
    }

    /// The change is made already: a line that cannot be written is itself reported.
    pub(super) fn write(&mut self, action: &str, by: &str, prefixes: &[Prefix], outcome: &Outcome) {
        let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        let Outcome { added, changed, removed, count, .. } = *outcome;
        let some = prefixes.join(" ");
        tracing::info!(target: "audit", by, action, added, changed, removed, count, prefixes = some, "blacklist");
        let Some(kept) = &mut self.0 else {
            return;
        };
        let line = Line { at: now(), by, action, prefixes, outcome };
        if let Err(error) = kept.append(&line) {
            tracing::error!(%error, "a line of the audit log could not be written");
        }
    }
}

impl Kept {
    fn append(&mut self, line: &Line<'_>) -> io::Result<()> {
        if self.bytes > BYTES_MAX {
            std::fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            self.file = append_to(&self.path)?;
            self.bytes = 0;
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.bytes += text.len() as u64;
        self.file.sync_data()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
