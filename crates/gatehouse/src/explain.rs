//! `gatehouse explain`: the real edge on one request, and what each stage made of it.
//!
//! A UE is registered first, as whoever the request says it is from (or, from the core, is for), so that
//! what is shown is what the edge does to a request of a subscriber in good standing.

mod bench;

use crate::ctl::{Direction, fail, load, read_message};
use bench::{Bench, Out};
use core::net::SocketAddr;
use edge::number::{Completion, NumberPlan, Who};
use edge::rules::{Passed, Passing, Rules, Step};
use edge::validate::{request_from_access, request_from_core};
use sip::{Message, Method};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use wire::Realm;

/// What is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which way the request goes.
    #[arg(long, value_enum, default_value = "from-access")]
    direction: Direction,
    /// Where the UE is.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "192.0.2.1:5060")]
    source: SocketAddr,
    /// The access point of the UE; the first one if left out.
    #[arg(long, value_name = "NAME")]
    access_point: Option<String>,
    /// Does not register the UE first.
    #[arg(long)]
    unregistered: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match explain(options) {
        Ok(code) | Err(code) => code,
    }
}

fn explain(options: &Options) -> Result<ExitCode, ExitCode> {
    let config = load(&options.config)?;
    let bytes = read_message()?;
    let mut index = sip::Index::default();
    let message = match sip::parse(&bytes, &sip::Limits::default(), &mut index) {
        Ok(message) if message.is_request() => message,
        Ok(_) => return Err(fail("only requests can be explained: a response follows its request")),
        Err(error) => {
            return Err(fail(&format!("not a message: {} at byte {}", error.cause.text(), error.offset)));
        }
    };
    let mut bench =
        Bench::new(&config, options.access_point.as_deref(), options.source).map_err(|why| fail(&why))?;
    let mut out = std::io::stdout().lock();
    let mut say = |line: &str| drop(writeln!(out, "{line}"));
    say(&format!(
        "parse: {}, {} header fields, {} bytes of body",
        method(message),
        message.fields().len(),
        message.body().len()
    ));
    let from = options.direction.realm();
    let checked = match from {
        Realm::Access => request_from_access(message, &config.validation.access.checks()),
        Realm::Core => request_from_core(message, &config.validation.core.checks()),
    };
    match checked {
        Ok(verdict) => say(&format!("validate: ok, {} soft faults", verdict.soft.total())),
        Err(reject) => {
            let field = reject.field.map_or("start line", |field| field.name());
            say(format!("validate: {}: {field} {}", reject.cause.text(), reject.detail).trim_end());
        }
    }
    if !options.unregistered && message.method() != Method::Register {
        match bench.register(message, from) {
            Ok(who) => say(&format!("identify: registered as {who}")),
            Err(why) => say(&format!("identify: cannot be registered: {why}")),
        }
    }
    if from == Realm::Access {
        numbers(&config, message, &mut say);
    }
    let sent = match bench.send(&bytes, from) {
        Out::Forwarded { to, bytes } => {
            say(&format!("route: to {to}"));
            bytes
        }
        Out::Answered { status, line, warning } => {
            say(&format!("verdict: answered by the edge: {line}{warning}"));
            return Ok(if status < 300 { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        Out::Nothing { why } => {
            say(&format!("verdict: dropped{why}"));
            return Ok(ExitCode::from(2));
        }
    };
    Ok(rules(&config, options, &bytes, sent, &mut say))
}

fn method(message: Message<'_>) -> String {
    String::from_utf8_lossy(message.method_text()).into_owned()
}

/// What the number plan makes of the Request-URI.
fn numbers(config: &config::Config, message: Message<'_>, say: &mut dyn FnMut(&str)) {
    let plan = NumberPlan::new(&config.number_plan, &config.core.domain);
    let mut steps = Vec::new();
    let mut uri = Vec::new();
    let completed = plan
        .complete_watched(message.uri(), &Who::default(), &mut uri, &mut |step| steps.push(step.to_string()));
    say(&format!("normalise: Request-URI {}", String::from_utf8_lossy(message.uri())));
    steps.iter().for_each(|step| say(&format!("  {step}")));
    if completed == Completion::Completed {
        say(&format!("  => {}, before what the caller's own number tells", String::from_utf8_lossy(&uri)));
    }
}

/// Takes what the edge would send through the header rules, and shows what leaves.
fn rules(
    config: &config::Config,
    options: &Options,
    original: &[u8],
    mut bytes: Vec<u8>,
    say: &mut dyn FnMut(&str),
) -> ExitCode {
    let mut rules = Rules::new(config);
    let passing = Passing {
        from: options.direction.realm(),
        source: options.source.ip(),
        access_point: options.access_point.as_deref(),
    };
    let passed = rules.pass_watched(&passing, &sip::Limits::default(), &mut bytes, 0, &mut |step| {
        if let Step::Matched { name, .. } = step {
            say(&format!("rule: {name} matches"));
        }
    });
    if let Passed::Rejected(rejection) = passed {
        let (status, reason) = rules.answer(rejection);
        let reason = if reason.is_empty() { edge::reply::reason_phrase(status) } else { reason };
        say(&format!("verdict: rejected by a header rule: {status} {reason}"));
        return ExitCode::from(2);
    }
    say("edits:");
    for line in difference(original, &bytes) {
        say(&format!("  {line}"));
    }
    say("verdict: accepted");
    ExitCode::SUCCESS
}

/// The lines that went, then the lines that came, in their order.
fn difference(before: &[u8], after: &[u8]) -> Vec<String> {
    let lines =
        |bytes: &[u8]| -> Vec<String> { String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect() };
    let (before, after) = (lines(before), lines(after));
    let only = |some: &[String], others: &[String], sign: char| -> Vec<String> {
        let mut left = others.to_vec();
        let mut only = Vec::new();
        for line in some {
            match left.iter().position(|other| other == line) {
                Some(at) => drop(left.swap_remove(at)),
                None => only.push(format!("{sign} {line}")),
            }
        }
        only
    };
    [only(&before, &after, '-'), only(&after, &before, '+')].concat()
}
