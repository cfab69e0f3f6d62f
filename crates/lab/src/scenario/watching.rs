//! Flows of subscriptions (R57).

use super::Stage;
use super::flows::require;
use crate::core::GROUP;
use crate::ue::{Command, UeEvent};

/// Subscribes over each transport, each to an event of its own; refreshes; ends.
///
/// # Errors
/// What went wrong.
pub fn subscriptions(stage: &mut Stage<'_>) -> Result<String, String> {
    for (name, event) in
        [("alice", "conference"), ("carol", "grouplist"), ("dave", "groupinfo"), ("bob", "reg")]
    {
        let who = stage.who(name)?;
        let to = if event == "reg" { stage.person(who).identity() } else { GROUP.to_owned() };
        let tag = stage.tag();
        stage.order(who, Command::Subscribe { tag, to, event: event.to_owned(), seconds: 3_600 });
        granted(stage, who, tag, 3_600)?;
        notified(stage, who, tag, true, 1)?;
        stage.order(who, Command::Resubscribe { tag, seconds: 600 });
        granted(stage, who, tag, 600)?;
        notified(stage, who, tag, true, 2)?;
        stage.order(who, Command::Resubscribe { tag, seconds: 0 });
        granted(stage, who, tag, 0)?;
        notified(stage, who, tag, false, 3)?;
    }
    Ok("alice, carol, dave and bob: 3 NOTIFYs each".to_owned())
}

/// Asks for a state once (Expires 0), and for an event that nobody has.
///
/// # Errors
/// What went wrong.
pub fn fetched_or_refused(stage: &mut Stage<'_>) -> Result<String, String> {
    let (carol, dave) = (stage.who("carol")?, stage.who("dave")?);
    let tag = stage.tag();
    stage.order(
        carol,
        Command::Subscribe { tag, to: GROUP.to_owned(), event: "grouplist".to_owned(), seconds: 0 },
    );
    granted(stage, carol, tag, 0)?;
    notified(stage, carol, tag, false, 1)?;
    let tag = stage.tag();
    stage.order(
        dave,
        Command::Subscribe { tag, to: GROUP.to_owned(), event: "weather".to_owned(), seconds: 60 },
    );
    let status = stage.expect(dave, "the refusal", |e| match e {
        UeEvent::Refused { tag: t, status } if *t == tag => Some(*status),
        _ => None,
    })?;
    require(status == 489, || format!("{status} instead of 489"))?;
    Ok("carol has the state, dave 489".to_owned())
}

fn granted(stage: &mut Stage<'_>, who: usize, tag: u64, seconds: u32) -> Result<(), String> {
    stage.expect(who, "the answer to SUBSCRIBE", |e| {
        (*e == UeEvent::Subscribed { tag, seconds }).then_some(())
    })
}

fn notified(stage: &mut Stage<'_>, who: usize, tag: u64, more: bool, version: u32) -> Result<(), String> {
    let wanted = format!("version=\"{version}\"");
    stage.expect(who, "the NOTIFY", |e| match e {
        UeEvent::Notified { tag: t, active, body } => {
            (*t == tag && *active == more && body.contains(&wanted)).then_some(())
        }
        _ => None,
    })
}
