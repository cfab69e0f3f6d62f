//! linphone as a UE: linphonec with one account, driven by the commands it reads.

use crate::kamailio::DOMAIN;
use crate::place::Place;
use crate::process::{Process, find};
use crate::trace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the account of a linphone is made of.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// User part and digest user name; the password is `NAME-secret`.
    pub name: &'a str,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// The outbound proxy: everything goes there.
    pub outbound: SocketAddr,
    /// The certificate that the proxy must prove itself with: its `root_ca`.
    pub root_ca: &'a Path,
    /// What it thinks of reliable provisional answers.
    pub reliability: Reliability,
}

/// What a linphone thinks of reliable provisional answers (RFC 3262).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// It can do with or without.
    Supported,
    /// It sends its own reliably to whoever can acknowledge them with PRACK.
    Required,
}

/// Speech that comes with linphone.
pub const SOUND: &str = "/usr/share/sounds/linphone/hello8000.wav";

/// A running linphonec, which logs every SIP message it sends and receives.
#[derive(Debug)]
pub struct Linphone {
    process: Process,
    log: PathBuf,
}

impl Linphone {
    /// Starts it; registration begins by itself.
    ///
    /// # Panics
    /// If it is not installed.
    #[must_use]
    pub fn start(place: &Place, account: Account<'_>) -> Self {
        let Account { name, transport, outbound, root_ca, reliability } = account;
        let level = if reliability == Reliability::Required { 2 } else { 1 };
        let proxy = format!("<sip:{outbound};transport={transport}>");
        let config = format!(
            "[sip]\nsip_port=-1\nsip_tcp_port=-2\nsip_tls_port=-2\nverify_server_certs=1\nverify_server_cn=1\n\
             root_ca={}\ndefault_proxy=0\n100rel_support_level={level}\nguess_hostname=1\nregister_only_when_network_is_up=0\nim_notif_policy=none\n\
             [rtp]\naudio_rtp_port=-1\nvideo_rtp_port=-1\n[video]\nenabled=0\ncapture=0\ndisplay=0\n\
             [proxy_0]\nreg_proxy={proxy}\nreg_route={proxy}\nreg_identity=<sip:{name}@{DOMAIN}>\nreg_expires=600\n\
             reg_sendregister=1\npublish=0\n\
             [auth_info_0]\nusername={name}\npasswd={name}-secret\nrealm={DOMAIN}\n",
            root_ca.display()
        );
        let config = place.write(&format!("{name}/linphonerc"), config);
        // Its database goes there, and it does not make the directory.
        place.write(&format!("{name}/.local/share/linphone/empty"), "");
        let log = place.file(&format!("{name}.linphone"));
        let home = format!("HOME={}", place.file(name).display());
        // Even where nobody plays sound, PulseAudio's library leaves a directory behind.
        let pulse = format!("PULSE_RUNTIME_PATH={}", place.file(name).display());
        let program = find("linphonec", "linphone-cli").to_string_lossy().into_owned();
        let paths = [&config, &log].map(|path| path.to_string_lossy().into_owned());
        let args =
            [&home, &pulse, &program, "-c", &paths[0], "-d", "6", "-l", &paths[1]].map(ToOwned::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut process =
            Process::start_fed(&find("env", "coreutils"), &args, place.file(&format!("{name}.log")));
        process.feed("soundcard use files");
        Self { process, log }
    }

    /// Gives it a command, as typed.
    pub fn command(&mut self, command: &str) {
        self.process.feed(command);
    }

    /// Waits until it has sent or received `n` messages like this, and returns the last of them.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_nth(&self, n: usize, what: &str, is_it: impl Fn(&trace::Message) -> bool) -> trace::Message {
        let what = format!("{what} number {n} at linphone");
        crate::eventually(&what, || self.messages().into_iter().filter(&is_it).nth(n - 1))
    }

    /// Waits for the 200 to its REGISTER.
    ///
    /// # Panics
    /// If none comes.
    pub fn wait_registered(&self) {
        self.wait_nth(1, "200 to REGISTER", |m| {
            m.inbound && m.status() == Some(200) && m.is_about("REGISTER")
        });
    }

    /// Ends it in good order: it de-registers first.
    ///
    /// # Panics
    /// If it does not end.
    pub fn quit(&mut self) {
        self.command("quit");
        self.process.wait_end();
    }

    /// Every SIP message it has sent and received so far.
    #[must_use]
    pub fn messages(&self) -> Vec<trace::Message> {
        let log = std::fs::read(&self.log).unwrap_or_default();
        trace::linphone(&String::from_utf8_lossy(&log))
    }
}
