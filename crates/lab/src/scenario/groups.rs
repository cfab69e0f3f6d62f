//! The flow of a group chat (R53 to R56).

use super::Stage;
use super::flows::{answered, established, heard, incoming};
use crate::core::GROUP;
use crate::service::Service;
use crate::ue::{Command, UeEvent};

/// Alice creates a group with Bob and Carol, Dave is invited later, Bob is kicked out, the others leave.
///
/// # Errors
/// What went wrong.
pub fn group_chat(stage: &mut Stage<'_>) -> Result<String, String> {
    let alice = stage.who("alice")?;
    let others = [stage.who("bob")?, stage.who("carol")?];
    let tag = stage.tag();
    let members = others.iter().map(|who| stage.person(*who).identity()).collect();
    stage.order(alice, Command::CreateGroup { tag, to: GROUP.to_owned(), members });
    established(stage, alice, tag)?;
    let mut group = vec![(alice, tag)];
    for who in others {
        group.push(joined(stage, who)?);
    }
    everybody_hears(stage, &group, 0)?;
    everybody_hears(stage, &group, 1)?;

    let dave = stage.who("dave")?;
    refer(stage, alice, tag, dave, "INVITE")?;
    group.push(joined(stage, dave)?);
    everybody_hears(stage, &group, 3)?;

    let (bob, his) = group.remove(1);
    refer(stage, alice, tag, bob, "BYE")?;
    stage.expect(bob, "the BYE", |e| (*e == UeEvent::Ended { tag: his }).then_some(()))?;
    everybody_hears(stage, &group, 1)?;
    for (who, session) in group.into_iter().rev() {
        stage.order(who, Command::HangUp { tag: session });
        stage.expect(who, "the answer to BYE", |e| (*e == UeEvent::Ended { tag: session }).then_some(()))?;
    }
    Ok("alice, bob, carol, then dave; bob kicked; 9 lines heard; all left".to_owned())
}

fn joined(stage: &mut Stage<'_>, who: usize) -> Result<(usize, u64), String> {
    let session = incoming(stage, who, Service::Chat)?;
    established(stage, who, session)?;
    Ok((who, session))
}

fn refer(stage: &mut Stage<'_>, by: usize, session: u64, whom: usize, method: &str) -> Result<(), String> {
    let to = format!("{};method={method}", stage.person(whom).identity());
    stage.order(by, Command::Refer { tag: session, to });
    answered(stage, by, session, 202)
}

/// One member says something, and all the others hear it.
fn everybody_hears(stage: &mut Stage<'_>, group: &[(usize, u64)], speaker: usize) -> Result<(), String> {
    let Some((who, session)) = group.get(speaker).copied() else {
        return Err(format!("there is no member {speaker}"));
    };
    let text = format!("{} to {} others, {}", stage.person(who).name, group.len() - 1, stage.tag());
    stage.order(who, Command::Chat { tag: session, text: text.clone() });
    for (other, session) in group.iter().filter(|(other, _)| *other != who) {
        heard(stage, *other, *session, &text)?;
    }
    Ok(())
}
