//! `gatehouse check`: everything that would keep a node from starting, without starting it.

use config::{Config, ConfigError, Positions};
use dataplane::tls::{self, Material};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Checks `path`; prints every fault as `file:line:col: message (hint)`.
pub(crate) fn check(path: &Path) -> ExitCode {
    match load(path) {
        Ok((_, _, warnings)) => {
            report("warning: ", &warnings);
            let _ = writeln!(std::io::stdout(), "{}: ok", path.display());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            report("", &errors);
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration and the files it names; the last part are warnings.
pub(crate) fn load(path: &Path) -> Result<(Config, Positions, Vec<ConfigError>), Vec<ConfigError>> {
    let (config, positions) = Config::load(path)?;
    if let Err(error) = Material::load(&config) {
        return Err(vec![positions.error(
            &error.key,
            error.message,
            "the file must be readable by this user",
        )]);
    }
    let warnings = tls::foreign_names(&config)
        .into_iter()
        .map(|w| positions.error(&w.key, w.message, "UEs compare them and may refuse to connect"))
        .collect();
    Ok((config, positions, warnings))
}

/// Prints one line for each.
pub(crate) fn report(kind: &str, errors: &[ConfigError]) {
    let mut out = std::io::stderr().lock();
    for error in errors {
        let _ = match kind {
            "" => writeln!(out, "{error}"),
            kind => writeln!(out, "{kind}{error}"),
        };
    }
}
