//! `gatehouse ctl headers`: the header rules on one message, without a node.

use super::{Direction, fail, load, read_message};
use core::net::IpAddr;
use edge::rules::{Passed, Passing, Rules, Step};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which way the message goes.
    #[arg(long, value_enum)]
    direction: Direction,
    /// Who sent it, for rules that ask.
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    source: IpAddr,
    /// The access point of the UE, for rules that ask.
    #[arg(long, value_name = "NAME")]
    access_point: Option<String>,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match show(options) {
        Ok(code) | Err(code) => code,
    }
}

fn show(options: &Options) -> Result<ExitCode, ExitCode> {
    let config = load(&options.config)?;
    let mut bytes = read_message()?;
    let limits = sip::Limits {
        head_bytes_max: config.limits.head_bytes_max,
        headers_max: config.limits.headers_max,
        body_bytes_max: config.limits.body_bytes_max,
    };
    let mut index = sip::Index::default();
    if let Err(error) = sip::parse(&bytes, &limits, &mut index) {
        return Err(fail(&format!("not a message: {} at byte {}", error.cause.text(), error.offset)));
    }
    let mut rules = Rules::new(&config);
    let passing = Passing {
        from: options.direction.realm(),
        source: options.source,
        access_point: options.access_point.as_deref(),
    };
    let mut out = std::io::stdout().lock();
    let mut rule = 0;
    let passed = rules.pass_watched(&passing, &limits, &mut bytes, 0, &mut |step| {
        let _ = match step {
            Step::Matched { rule: at, name } => {
                rule = at;
                writeln!(out, "rule {name} (header_rules[{at}]) matches")
            }
            Step::Applied { action } => writeln!(out, "  {}: done", describe(&config, rule, action)),
            Step::Idle { action } => writeln!(out, "  {}: nothing to do", describe(&config, rule, action)),
            Step::Failed { action } => {
                writeln!(
                    out,
                    "  {}: left out, the message would be too large",
                    describe(&config, rule, action)
                )
            }
        };
    });
    let code = match passed {
        Passed::Rejected(rejection) => {
            let (status, reason) = rules.answer(rejection);
            let reason = if reason.is_empty() { edge::reply::reason_phrase(status) } else { reason };
            let _ = writeln!(out, "  reject: answered {status} {reason}");
            return Ok(ExitCode::from(2));
        }
        Passed::Unreadable => return Err(fail("the message has no end of its head")),
        Passed::Unchanged if rules.matches().all(|(_, count)| count == 0) => {
            let _ = writeln!(out, "no rule of {} matches", rules.len());
            ExitCode::SUCCESS
        }
        Passed::Unchanged | Passed::Changed => ExitCode::SUCCESS,
    };
    let _ = writeln!(out);
    let _ = out.write_all(&bytes);
    Ok(code)
}

/// An action as the operator wrote it, in short.
fn describe(config: &config::Config, rule: usize, action: usize) -> String {
    let known = config.header_rules.get(rule).and_then(|rule| rule.then.get(action));
    known.map_or_else(String::new, |known| {
        let what = format!("{:?}", known.action).to_ascii_lowercase();
        match &known.to {
            Some(to) => format!("{what} {} to {to}", known.header),
            None => format!("{what} {}", known.header),
        }
    })
}
