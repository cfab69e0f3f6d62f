//! `gatehouse ctl number`: what the number plan makes of a number, step by step.

use super::{fail, load};
use edge::number::{Completion, NumberPlan, Who};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The number as dialled: digits, a `tel:` URI, or `sip:...;user=phone`.
    number: String,
    /// The configuration file; without one the built-in plan is shown.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The name of the access point that the caller came in through.
    #[arg(long, value_name = "NAME")]
    access_point: Option<String>,
    /// The caller: its own number (`+861028880001`) or its address (`sip:user1@ims.example.net`).
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match show(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn show(options: &Options) -> Result<(), ExitCode> {
    let config = match &options.config {
        Some(path) => load(path)?,
        None => config::Config::default(),
    };
    if let Some(name) = &options.access_point
        && !config.realm.access.sip.iter().any(|listener| listener.name.as_ref() == Some(name))
    {
        return Err(fail(&format!("no access point is named {name:?}")));
    }
    let user = options.user.as_deref().map(as_uri);
    let who = Who {
        number: user.as_deref().map(str::as_bytes),
        user: user.as_deref().map(str::as_bytes),
        access_point: options.access_point.as_deref(),
    };
    let plan = NumberPlan::new(&config.number_plan, &config.core.domain);
    let mut out = std::io::stdout().lock();
    let mut uri = Vec::new();
    let completion = plan.complete_watched(options.number.as_bytes(), &who, &mut uri, &mut |step| {
        let _ = writeln!(out, "{step}");
    });
    let result = match completion {
        Completion::Completed => String::from_utf8_lossy(&uri).into_owned(),
        Completion::Untouched => format!("{} (as it came)", options.number),
    };
    let _ = writeln!(out, "=> {result}");
    Ok(())
}

/// A number as people write it, as a URI.
fn as_uri(user: &str) -> String {
    match user.starts_with('+') {
        true => format!("tel:{user}"),
        false => user.to_owned(),
    }
}
