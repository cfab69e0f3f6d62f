//! The one TOML file: typed settings with exact errors.
//!
//! ```text
//! text → document (all syntax errors) → typed sections (unknown keys, types, ranges) → checks across keys
//! ```
//! Every fault is reported, each as `file:line:col: message (hint)`; nothing here opens a socket.

mod access;
mod check;
mod check_numbers;
mod check_rules;
mod content;
mod error;
mod hops;
mod msrp_relay;
mod plans;
mod read;
mod rules;
mod sections;
mod types;

pub use access::{Emergency, EmergencyNumber, Nat, NatPing};
pub use content::{ContentPolicy, Sender};
pub use error::{ConfigError, Positions};
pub use hops::{Dns, Pool, PoolMember, Probe, Redirects};
pub use msrp_relay::MsrpRelay;
pub use plans::{NumberPlace, PlanName};
pub use read::Key;
pub use rules::{
    ActionKind, HeaderAction, HeaderCondition, HeaderRule, PROTECTED, Pattern, Protected, RuleDirection,
    RuleKind, StatusRange, Template, TemplatePart, protected,
};
pub use sections::{
    AccessChecks, Admin, Blacklist, Checks, Config, Core, CoreChecks, Identity, Limits, Log, Msrp,
    MsrpListener, Node, NumberPlan, RealmConfig, Realms, Registrar, SipListener, Timers, Tls, Validation,
};
pub use types::{
    BadNextHop, Keying, Latching, Level, LogFormat, LogLevel, MediaIo, NextHop, NumberOutput, Srtp,
    SrtpSuite, TlsVersion,
};

use read::{Reader, Value};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

impl Config {
    /// Reads the text of a configuration file; keys that are left out keep their defaults.
    ///
    /// # Errors
    /// Every fault that could be found, in the order of the file.
    pub fn from_toml(text: &str, file_name: &str) -> Result<Self, Vec<ConfigError>> {
        Self::from_toml_with_positions(text, file_name).map(|(config, _)| config)
    }

    /// Like [`Config::from_toml`], and says where each key stands, for checks that come later.
    ///
    /// # Errors
    /// Every fault that could be found, in the order of the file.
    pub fn from_toml_with_positions(
        text: &str,
        file_name: &str,
    ) -> Result<(Self, Positions), Vec<ConfigError>> {
        let mut reader = Reader::new(text, file_name);
        let (document, syntax) = DeTable::parse_recoverable(text);
        if !syntax.is_empty() {
            // What follows a syntax error may be misread: later checks would only add noise.
            return Err(sorted(syntax.iter().map(|e| syntax_error(&reader, e)).collect()));
        }
        let span = document.span();
        let root = Spanned::new(span, DeValue::Table(document.into_inner()));
        let mut config = Self::read(&root, &mut reader).unwrap_or_default();
        config.number_plan.complete(|key| reader.positions.has(&format!("number_plan.{key}")));
        check::check(&config, &mut reader);
        if !reader.errors.is_empty() {
            return Err(sorted(reader.errors));
        }
        config.place_files(Path::new(file_name).parent().unwrap_or(Path::new("")));
        Ok((config, reader.positions))
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// Every fault that could be found; one at line 1 if the file cannot be read at all.
    pub fn load(path: &Path) -> Result<(Self, Positions), Vec<ConfigError>> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_toml_with_positions(&text, &file),
            Err(error) => Err(vec![ConfigError {
                file,
                line: 1,
                column: 1,
                message: format!("cannot be read: {error}"),
                hint: "name a file with --config".to_owned(),
            }]),
        }
    }

    /// Every key with its default and range, in the order of declaration.
    #[must_use]
    pub fn schema() -> Vec<Key> {
        let mut keys = Vec::new();
        Self::default().keys("", "", &mut keys);
        keys
    }

    /// Makes paths of files relative to the directory of the configuration file.
    fn place_files(&mut self, directory: &Path) {
        if let Some(file) = &mut self.node.token_key_file {
            *file = directory.join(&file);
        }
        if let Some(file) = &mut self.msrp_relay.users_file {
            *file = directory.join(&file);
        }
        if let Some(path) = &mut self.blacklist.directory {
            *path = directory.join(&path);
        }
        for tls in [&mut self.realm.access.tls, &mut self.realm.core.tls].into_iter().flatten() {
            for path in [&mut tls.certificate, &mut tls.key].into_iter().chain(tls.ca.as_mut()) {
                *path = directory.join(&path);
            }
        }
    }
}

fn syntax_error(reader: &Reader, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let message = error.message().trim().replace('\n', ", ");
    reader.positions.error_at(at, format!("syntax: {message}"), "")
}

fn sorted(mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
    errors.sort_by_key(|e| (e.line, e.column));
    errors.dedup();
    errors
}
