//! R32 in the flow: numbers by access point, by user and by option, and the UE's own To in its answers.

use crate::messaging::message;
use crate::ue::registered_udp;
use crate::world::{World, config, response};
use config::{Config, SipListener};
use wire::Transport;

const A: &str = "182.1.1.203:41200";
const HOME: &str = "bj.ims.mnc000.mcc460.3gppnetwork.org";

/// The access point over UDP is `beijing`.
fn planned(plan: &str) -> Config {
    let mut config = config();
    config.realm.access.sip = vec![SipListener {
        transport: Transport::Udp,
        name: Some("beijing".into()),
        ..SipListener::default()
    }];
    let text = format!(
        "[[realm.access.sip]]\nbind = '127.0.0.1:5060'\ntransport = 'udp'\nname = 'beijing'\n[number_plan]\n{plan}"
    );
    config.number_plan = Config::from_toml(&text, "numbers.toml").unwrap().number_plan;
    config
}

fn dialled(uri: &str, branch: &str, more: &str) -> String {
    let text = message("user1", A, branch, more);
    text.replace(&format!("MESSAGE sip:user2@{HOME}"), &format!("MESSAGE {uri}"))
        .replace(&format!("To: <sip:user2@{HOME}>"), &format!("To: <{uri}>"))
}

/// The caller has a mobile number only (`+8613900000001`), which tells no area.
#[test]
fn the_area_is_that_of_the_access_point_or_of_the_user() {
    for (places, expected) in [
        ("", "tel:28880001"),
        ("area_code = '20'\n", "tel:+862028880001"),
        ("[[number_plan.places]]\naccess_points = ['beijing']\narea_code = '10'\n", "tel:+861028880001"),
        (
            "[[number_plan.places]]\naccess_points = ['beijing']\narea_code = '10'\n\
             [[number_plan.places]]\nusers = ['+86139*']\narea_code = '755'\n",
            "tel:+8675528880001",
        ),
    ] {
        let mut world = World::with(planned(places));
        registered_udp(&mut world, "user1", A);
        world.datagram(A, dialled("tel:28880001", "n1", "").as_bytes());
        let sent = world.one();
        assert!(sent.text().starts_with(&format!("MESSAGE {expected} SIP/2.0\r\n")), "{}", sent.text());
        assert_eq!(sent.header("To").unwrap(), format!("<{expected}>"));
        world.core(&response(&sent, "200 OK", ""));
        assert_eq!(world.one().header("To").unwrap(), "<tel:28880001>;tag=far1", "R32");
    }
}

/// A local number in P-Preferred-Identity is asserted as the registered identity that it means.
#[test]
fn a_preferred_number_is_completed_by_option() {
    for (option, preferred, asserted) in [
        ("", "\"Me\" <tel:0139-0000-0001>", format!("<sip:user1@{HOME}>")),
        ("preferred_identity = true\n", "\"Me\" <tel:13900000001>", "\"Me\" <tel:+8613900000001>".to_owned()),
        ("preferred_identity = true\n", "tel:13900000001", "<tel:+8613900000001>".to_owned()),
        ("preferred_identity = true\n", "<tel:13900000002>", format!("<sip:user1@{HOME}>")),
        ("preferred_identity = true\n", "<tel:+8613900000001>", "<tel:+8613900000001>".to_owned()),
    ] {
        let mut world = World::with(planned(option));
        registered_udp(&mut world, "user1", A);
        let line = format!("P-Preferred-Identity: {preferred}\r\n");
        world.datagram(A, message("user1", A, "n2", &line).as_bytes());
        let sent = world.one();
        assert_eq!(sent.header("P-Asserted-Identity"), Some(asserted), "{option}{preferred}");
        assert_eq!(sent.header("P-Preferred-Identity"), None);
    }
}
