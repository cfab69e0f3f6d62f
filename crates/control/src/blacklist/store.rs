//! Keeps the list over restarts and crashes (R10): a journal that is compacted now and then.
//!
//! ```text
//! blacklist.journal    one line for each change: hash, blank, JSON; synced before the change counts
//! blacklist.new        the next journal while it is written; renamed over the old one when it is safe
//! ```
//! A line that a crash cut short is the last one, and its writer was never told that it was kept: it is
//! dropped. A damaged line before the last is refused, for half a blacklist is none.

use super::table::{Entry, Table};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use wire::Prefix;

/// One change of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Puts entries in, or in place of older ones.
    Add(Vec<(Prefix, Entry)>),
    /// Takes entries out.
    Remove(Vec<Prefix>),
}

impl Change {
    /// Makes it.
    pub fn apply(&self, table: &mut Table) {
        match self {
            Self::Add(entries) => {
                for (prefix, entry) in entries {
                    table.put(*prefix, entry.clone());
                }
            }
            Self::Remove(prefixes) => {
                for prefix in prefixes {
                    table.remove(*prefix);
                }
            }
        }
    }
}

/// Where the list is kept.
///
/// A change that is answered with an error did not take place, now or after a restart.
pub trait Store: Send {
    /// Reads the list back.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    fn load(&mut self) -> io::Result<Table>;
    /// Keeps a change; `after` is the list with it.
    ///
    /// # Errors
    /// If it could not be made safe.
    fn keep(&mut self, change: &Change, after: &Table) -> io::Result<()>;
    /// Keeps a whole new list.
    ///
    /// # Errors
    /// If it could not be made safe.
    fn replace(&mut self, table: &Table) -> io::Result<()>;
    /// Whether the list survives the process.
    fn is_durable(&self) -> bool;
}

/// Forgets everything at the end of the process.
#[derive(Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn load(&mut self) -> io::Result<Table> {
        Ok(Table::default())
    }
    fn keep(&mut self, _change: &Change, _after: &Table) -> io::Result<()> {
        Ok(())
    }
    fn replace(&mut self, _table: &Table) -> io::Result<()> {
        Ok(())
    }
    fn is_durable(&self) -> bool {
        false
    }
}

/// The journal in a directory of this process alone.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    file: File,
    /// Bytes known to be whole.
    bytes: u64,
    /// Bytes after the last compaction.
    compact_bytes: u64,
    /// A write failed: what the file holds is uncertain until it is written anew.
    suspect: bool,
    /// Held as long as the process lives.
    _lock: File,
}

/// One line of the journal.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Add(Vec<Kept>),
    Remove(Vec<Box<str>>),
}

#[derive(Deserialize, Serialize)]
struct Kept {
    prefix: Box<str>,
    #[serde(flatten)]
    entry: Entry,
}

/// A journal smaller than this is not worth compacting.
const COMPACT_BYTES_MIN: u64 = 1 << 20;
/// Entries in a line of a compacted journal.
const ENTRIES_PER_LINE: usize = 1_000;

impl Journal {
    /// Opens, or makes, the journal in `directory`.
    ///
    /// # Errors
    /// If that is not possible, or another process has it open.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).open(directory.join(name))
        };
        let lock = open("blacklist.lock")?;
        lock.try_lock().map_err(|_| io::Error::other("another process has it open"))?;
        let file = open(JOURNAL)?;
        sync_directory(directory)?;
        let bytes = file.metadata()?.len();
        let directory = directory.to_owned();
        Ok(Self { directory, file, bytes, compact_bytes: bytes, suspect: false, _lock: lock })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.file.sync_data()?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

const JOURNAL: &str = "blacklist.journal";

impl Store for Journal {
    fn load(&mut self) -> io::Result<Table> {
        let mut table = Table::default();
        let mut reader = BufReader::new(File::open(self.directory.join(JOURNAL))?);
        let (mut whole, mut number, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            number += 1;
            let count = reader.read_until(b'\n', &mut line)?;
            if count == 0 {
                break;
            }
            let Some(change) = read_line(&line) else {
                if reader.fill_buf()?.is_empty() {
                    tracing::warn!(number, "the last line of the blacklist was cut short and is dropped");
                    break;
                }
                let text = format!("line {number} of {JOURNAL} is damaged");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            change.apply(&mut table);
            whole += count as u64;
        }
        if whole < self.bytes {
            self.file.set_len(whole)?;
            self.file.sync_all()?;
            self.bytes = whole;
        }
        Ok(table)
    }

    fn keep(&mut self, change: &Change, after: &Table) -> io::Result<()> {
        let line = write_line(change)?;
        let grown = self.bytes + line.len() as u64;
        if self.suspect || grown > COMPACT_BYTES_MIN.max(2 * self.compact_bytes) {
            return self.replace(after);
        }
        self.append(&line).inspect_err(|_| {
            // What reached the disk must not come back after a restart.
            self.suspect = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all()).is_err();
        })
    }

    fn replace(&mut self, table: &Table) -> io::Result<()> {
        let new = self.directory.join("blacklist.new");
        let written = write_all(table, &new);
        let (file, bytes) = written.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
        std::fs::rename(&new, self.directory.join(JOURNAL))?;
        self.file = file;
        (self.bytes, self.compact_bytes) = (bytes, bytes);
        // Which of the two a crash would leave is uncertain until this succeeds.
        let safe = sync_directory(&self.directory);
        self.suspect = safe.is_err();
        safe
    }

    fn is_durable(&self) -> bool {
        true
    }
}

/// Writes a compacted journal and syncs it.
fn write_all(table: &Table, path: &Path) -> io::Result<(File, u64)> {
    let _ = std::fs::remove_file(path);
    let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut bytes = 0;
    let mut entries = table.page(None);
    loop {
        let some: Vec<_> = entries.by_ref().take(ENTRIES_PER_LINE).map(|(p, e)| (*p, e.clone())).collect();
        if some.is_empty() {
            break;
        }
        let line = write_line(&Change::Add(some))?;
        out.write_all(&line)?;
        bytes += line.len() as u64;
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok((file, bytes))
}

/// Makes names in a directory safe.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn write_line(change: &Change) -> io::Result<Vec<u8>> {
    let line = match change {
        Change::Add(entries) => {
            let kept = |(prefix, entry): &(Prefix, Entry)| Kept {
                prefix: prefix.to_string().into(),
                entry: entry.clone(),
            };
            Line::Add(entries.iter().map(kept).collect())
        }
        Change::Remove(prefixes) => Line::Remove(prefixes.iter().map(|p| p.to_string().into()).collect()),
    };
    let json = serde_json::to_vec(&line)?;
    let mut out = format!("{:016x} ", hash(&json)).into_bytes();
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(out)
}

fn read_line(line: &[u8]) -> Option<Change> {
    let line = line.strip_suffix(b"\n")?;
    let (head, json) = line.split_at_checked(17)?;
    if head != format!("{:016x} ", hash(json)).as_bytes() {
        return None;
    }
    match serde_json::from_slice(json).ok()? {
        Line::Add(kept) => {
            let entry = |kept: Kept| Some((kept.prefix.parse().ok()?, kept.entry));
            kept.into_iter().map(entry).collect::<Option<_>>().map(Change::Add)
        }
        Line::Remove(prefixes) => {
            prefixes.iter().map(|p| p.parse().ok()).collect::<Option<_>>().map(Change::Remove)
        }
    }
}

/// FNV-1a: tells a whole line from a torn one; nobody forges our own file.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::blacklist::tests::directory;

    fn add(prefixes: &[&str]) -> Change {
        let entry = Entry { reason: "scan".into(), by: "test".into(), added_at: 5, expires_at: Some(9) };
        Change::Add(prefixes.iter().map(|p| (p.parse().unwrap(), entry.clone())).collect())
    }

    fn kept(directory: &Path) -> io::Result<Table> {
        Journal::open(directory)?.load()
    }

    fn make(journal: &mut Journal, table: &mut Table, change: &Change) {
        change.apply(table);
        journal.keep(change, table).unwrap();
    }

    #[test]
    fn what_was_kept_is_read_back_and_only_one_process_has_it() {
        let directory = directory();
        let mut journal = Journal::open(&directory).unwrap();
        let mut table = journal.load().unwrap();
        assert!(Journal::open(&directory).unwrap_err().to_string().contains("another process"));
        make(&mut journal, &mut table, &add(&["10.0.0.0/8", "2001:db8::/32"]));
        make(&mut journal, &mut table, &Change::Remove(vec!["10.0.0.0/8".parse().unwrap()]));
        make(&mut journal, &mut table, &add(&["192.0.2.1"]));
        drop(journal);
        assert_eq!(kept(&directory).unwrap(), table);
        let mut journal = Journal::open(&directory).unwrap();
        journal.replace(&table).unwrap();
        make(&mut journal, &mut table, &add(&["192.0.2.2"]));
        drop(journal);
        assert_eq!(kept(&directory).unwrap(), table);
    }

    #[test]
    fn a_line_that_was_cut_short_anywhere_is_dropped_and_writing_goes_on() {
        let directory = directory();
        let mut journal = Journal::open(&directory).unwrap();
        let mut table = Table::default();
        make(&mut journal, &mut table, &add(&["10.0.0.0/8"]));
        let whole = journal.bytes;
        let (first, mut both) = (table.clone(), table);
        make(&mut journal, &mut both, &add(&["192.0.2.1"]));
        drop(journal);
        let path = directory.join(JOURNAL);
        let text = std::fs::read(&path).unwrap();
        for end in whole as usize..text.len() {
            std::fs::write(&path, &text[..end]).unwrap();
            let mut journal = Journal::open(&directory).unwrap();
            assert_eq!(journal.load().unwrap(), first, "cut at {end}");
            let mut table = first.clone();
            make(&mut journal, &mut table, &add(&["192.0.2.1"]));
            drop(journal);
            assert_eq!(kept(&directory).unwrap(), both);
        }
    }

    #[test]
    fn damage_in_the_middle_is_refused() {
        let directory = directory();
        let mut journal = Journal::open(&directory).unwrap();
        let mut table = Table::default();
        make(&mut journal, &mut table, &add(&["10.0.0.0/8"]));
        make(&mut journal, &mut table, &add(&["192.0.2.1"]));
        drop(journal);
        let path = directory.join(JOURNAL);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("10.0", "10.1", 1)).unwrap();
        assert_eq!(kept(&directory).unwrap_err().to_string(), "line 1 of blacklist.journal is damaged");
    }

    #[test]
    fn a_full_disk_refuses_the_change_and_loses_nothing() {
        let directory = directory();
        let mut journal = Journal::open(&directory).unwrap();
        let mut table = Table::default();
        make(&mut journal, &mut table, &add(&["10.0.0.0/8"]));
        // A device that is always full stands in for the disk.
        let real =
            core::mem::replace(&mut journal.file, OpenOptions::new().write(true).open("/dev/full").unwrap());
        let mut after = table.clone();
        let change = add(&["192.0.2.1"]);
        change.apply(&mut after);
        let error = journal.keep(&change, &after).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(journal.suspect, "that file cannot be put right");
        drop(real);
        journal.keep(&change, &after).unwrap();
        drop(journal);
        assert_eq!(kept(&directory).unwrap(), after);
    }

    #[test]
    fn the_journal_is_compacted_and_stays_small() {
        let directory = directory();
        let mut journal = Journal::open(&directory).unwrap();
        let mut table = Table::default();
        let many: Vec<String> = (0..4_000).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for _ in 0..20 {
            make(&mut journal, &mut table, &add(&many));
        }
        assert!(journal.bytes < 2 * COMPACT_BYTES_MIN, "{}", journal.bytes);
        assert_eq!(std::fs::metadata(directory.join(JOURNAL)).unwrap().len(), journal.bytes);
        drop(journal);
        assert_eq!(kept(&directory).unwrap(), table);
    }
}
