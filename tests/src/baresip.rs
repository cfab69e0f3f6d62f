//! baresip as a UE: one account, driven over its control port.

use crate::kamailio::DOMAIN;
use crate::place::Place;
use crate::process::{Process, find};
use crate::sound::{Recording, tone};
use crate::trace;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

/// Where Debian puts its modules.
const MODULES: &str = "/usr/lib/baresip/modules";
const CONTROL_PORT: u16 = 4444;
/// A call of a test is shorter.
const TONE_SECONDS: u32 = 10;

/// What the account of a baresip is made of.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// User part and digest user name; the password is `NAME-secret`.
    pub name: &'a str,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// The outbound proxy: everything goes there.
    pub outbound: SocketAddr,
    /// To whom [`Baresip::message`] writes.
    pub friend: &'a str,
}

/// What it does with audio.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sound<'a> {
    /// `mediaenc` of the account: `srtp-mand`, `dtls_srtp`; `None` for plain RTP.
    pub encryption: Option<&'a str>,
    /// Plays a sine of so many hertz for ten seconds, and records what it hears; otherwise it echoes.
    pub tone: Option<u32>,
}

/// A running baresip that prints every SIP message it sends and receives.
#[derive(Debug)]
pub struct Baresip {
    name: String,
    control: SocketAddr,
    proxy: SocketAddr,
    process: Process,
}

impl Baresip {
    /// Starts it; registration begins by itself.
    ///
    /// # Panics
    /// If it is not installed or its control port does not open.
    #[must_use]
    pub fn start(place: &Place, account: Account<'_>) -> Self {
        Self::start_with(place, account, Sound::default())
    }

    /// The same, with audio of its own.
    ///
    /// # Panics
    /// As `start`.
    #[must_use]
    pub fn start_with(place: &Place, account: Account<'_>, sound: Sound<'_>) -> Self {
        let own = place.address();
        let (source, player, recorder) = match sound.tone {
            Some(hertz) => {
                let tone = place.write(&format!("{}/tone.wav", account.name), tone(hertz, TONE_SECONDS));
                // What comes is recorded on its way to a bridge that nobody listens at.
                let recorder =
                    format!("module sndfile.so\nsnd_path {}\n", place.file(account.name).display());
                (format!("aufile,{}", tone.display()), "aubridge,nobody", recorder)
            }
            None => ("aubridge,ear".to_owned(), "aubridge,ear", String::new()),
        };
        let encryption = sound.encryption.map(|e| format!(";mediaenc={e}")).unwrap_or_default();
        let control = SocketAddr::new(own, CONTROL_PORT);
        let Account { name, transport, outbound, friend } = account;
        // There is but one IPv6 loopback address.
        let listen = if outbound.is_ipv6() { "[::1]".to_owned() } else { own.to_string() };
        let config = format!(
            "poll_method epoll\n\
             sip_listen {listen}:0\n\
             module_path {MODULES}\n\
             module g711.so\n\
             module aubridge.so\n\
             module aufile.so\n\
             module srtp.so\n\
             module dtls_srtp.so\n\
             module_tmp uuid.so\n\
             module_tmp account.so\n\
             module_app contact.so\n\
             module_app menu.so\n\
             module_app ctrl_tcp.so\n\
             ctrl_tcp_listen {control}\n\
             audio_player {player}\n\
             audio_source {source}\n\
             {recorder}\
             audio_alert aubridge,alert\n"
        );
        place.write(&format!("{name}/config"), config);
        place.write(
            &format!("{name}/accounts"),
            format!(
                "<sip:{name}@{DOMAIN};transport={transport}>;auth_user={name};auth_pass={name}-secret;\
                 outbound=\"sip:{outbound};transport={transport}\";regint=600{encryption}\n"
            ),
        );
        place.write(&format!("{name}/contacts"), format!("\"{friend}\" <sip:{friend}@{DOMAIN}>\n"));
        let directory = place.file(name).to_string_lossy().into_owned();
        let program = find("baresip", "baresip-core");
        let log = place.file(&format!("{name}.log"));
        let mut process = Process::start(&program, &["-v", "-s", "-f", &directory], log);
        process.wait_for("baresip is ready");
        Self { name: name.to_owned(), control, proxy: outbound, process }
    }

    /// Waits for the 200 to its REGISTER.
    ///
    /// # Panics
    /// If none comes.
    pub fn wait_registered(&mut self) {
        let (name, at) = (&self.name, "@");
        let line = format!("{name}{at}{DOMAIN}: ");
        self.process.wait_output("registration", |output| {
            output.lines().find(|l| l.contains(&line) && l.contains(" 200 OK")).map(|_| ())
        });
    }

    /// Sends a pager message to its friend.
    ///
    /// # Panics
    /// If the control port is gone.
    pub fn message(&self, text: &str) {
        self.command("message", text);
    }

    /// Calls somebody of the same domain.
    pub fn call(&self, whom: &str) {
        self.command("dial", &format!("sip:{whom}@{DOMAIN}"));
    }

    /// Carries out a command of its menu: `accept`, `hold`, `resume`, `hangup`.
    pub fn order(&self, command: &str) {
        self.command(command, "");
    }

    /// Waits until it has sent or received `n` messages like this, and returns the last of them.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_nth(
        &mut self,
        n: usize,
        what: &str,
        is_it: impl Fn(&trace::Message) -> bool,
    ) -> trace::Message {
        let proxy = self.proxy;
        self.process.wait_output(&format!("{what} number {n}"), |output| {
            trace::baresip(output, proxy).into_iter().filter(&is_it).nth(n - 1)
        })
    }

    /// Waits until it sends and receives audio: `audio=TX/RX (bit/s)` of its call status.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_audio(&mut self) {
        self.process.wait_output("audio both ways", |output| {
            let rates = output.split("audio=").skip(1).filter_map(|text| {
                let (sent, came) = text.split(' ').next()?.split_once('/')?;
                Some((sent.parse::<u64>().ok()?, came.parse::<u64>().ok()?))
            });
            rates.into_iter().find(|(sent, came)| *sent > 0 && *came > 0).map(|_| ())
        });
    }

    /// What it heard of its first call that was recorded; whole once the call is over.
    ///
    /// # Panics
    /// If there is no recording.
    #[must_use]
    pub fn recording(&self, place: &Place) -> Recording {
        let directory = place.file(&self.name);
        let files = std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
        let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
        let heard = paths.find(|path| path.to_string_lossy().ends_with("-dec.wav"));
        Recording::read(&heard.unwrap_or_else(|| panic!("no recording in {}", directory.display())))
    }

    /// Ends it in good order: it de-registers first.
    ///
    /// # Panics
    /// If it does not end.
    pub fn quit(&mut self) {
        self.command("quit", "");
        self.process.wait_end();
    }

    /// Waits until a message with this text came in and was answered, and returns it.
    ///
    /// # Panics
    /// If none comes.
    pub fn wait_message(&mut self, text: &str) -> trace::Message {
        let proxy = self.proxy;
        self.process.wait_output(&format!("MESSAGE {text:?}"), |output| {
            trace::baresip(output, proxy)
                .into_iter()
                .find(|m| m.inbound && m.is_request("MESSAGE") && m.body == text)
        })
    }

    /// Waits for the final answer to the message with this text, and returns its status.
    ///
    /// # Panics
    /// If none comes.
    pub fn wait_answer(&mut self, text: &str) -> u16 {
        let proxy = self.proxy;
        self.process.wait_output(&format!("answer to {text:?}"), |output| {
            let all = trace::baresip(output, proxy);
            let sent = all.iter().find(|m| !m.inbound && m.is_request("MESSAGE") && m.body == text)?;
            let id = sent.value("Call-ID")?;
            all.iter()
                .filter(|m| m.inbound && m.value("Call-ID") == Some(id))
                .find_map(|m| m.status().filter(|s| *s >= 200))
        })
    }

    /// Every SIP message it has sent and received so far.
    #[must_use]
    pub fn messages(&self) -> Vec<trace::Message> {
        trace::baresip(&self.process.output(), self.proxy)
    }

    fn command(&self, command: &str, params: &str) {
        let json = serde_json::json!({ "command": command, "params": params, "token": "t" }).to_string();
        let mut stream =
            crate::eventually("baresip's control port", || TcpStream::connect(self.control).ok());
        // A netstring: length, colon, text, comma.
        write!(stream, "{}:{json},", json.len()).expect("baresip reads its control port");
        // The answer shows that the command was taken before the connection goes away.
        let mut byte = [0];
        let _ = std::io::Read::read(&mut stream, &mut byte);
    }
}
