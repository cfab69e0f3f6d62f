//! A `gatehouse serve` process on free ports.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub fn gatehouse() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gatehouse"))
}

/// A fresh directory of the test.
pub fn scratch(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

pub fn write_certificate(directory: &Path) {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), issued.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), issued.signing_key.serialize_pem()).unwrap();
}

/// One shard on free ports, TCP and TLS, logging as JSON with the addresses.
pub fn write_settings(file: &Path, more: &str) {
    let mut text = String::from(
        "[node]\nshards = 1\n[log]\nlevel = \"debug\"\nformat = \"json\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [realm.access]\nhost = \"127.0.0.1\"\n[realm.access.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n",
    );
    for transport in ["udp", "tcp", "tls"] {
        text.push_str(&format!(
            "[[realm.access.sip]]\nbind = \"127.0.0.1:0\"\ntransport = \"{transport}\"\n"
        ));
    }
    text.push_str("[[realm.core.sip]]\nbind = \"127.0.0.1:0\"\ntransport = \"udp\"\n");
    text.push_str(more);
    std::fs::write(file, text).unwrap();
}

pub struct Node {
    child: Child,
    pub file: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
    admin: SocketAddr,
}

impl Node {
    pub fn start(name: &str, more: &str) -> Self {
        Self::run(name, more, gatehouse())
    }

    /// With so many descriptors and not one more.
    pub fn start_limited(name: &str, more: &str, descriptors: usize) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_gatehouse")]);
        Self::run(name, more, shell)
    }

    fn run(name: &str, more: &str, mut command: Command) -> Self {
        let directory = scratch(name);
        write_certificate(&directory);
        let file = directory.join("gatehouse.toml");
        write_settings(&file, more);
        command.args(["serve", "--config"]).arg(&file).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (log, heard) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&lines));
        std::thread::spawn(move || {
            log.lines().map_while(Result::ok).for_each(|l| heard.lock().unwrap().push(l));
        });
        let mut node = Self { child, file, lines, admin: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = node.wait_log("\"in service\"");
        node.admin = field(&line, "admin").parse().unwrap();
        node
    }

    /// Where it serves SIP to UEs.
    pub fn sip(&self, transport: &str) -> SocketAddr {
        let wanted = format!("\"transport\":\"{transport}\"");
        let lines = self.lines.lock().unwrap();
        let fits =
            |l: &&String| l.contains("\"listening\"") && l.contains("\"access\"") && l.contains(&wanted);
        field(lines.iter().find(fits).unwrap(), "address").parse().unwrap()
    }

    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.sip("tcp")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    pub fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks the admin server with a JSON body; the whole answer, or nothing if the process is gone.
    pub fn ask(&self, method: &str, target: &str, body: &str) -> String {
        Self::ask_at(self.admin, method, target, body)
    }

    pub fn ask_at(admin: SocketAddr, method: &str, target: &str, body: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(admin) else {
            return String::new();
        };
        let mut answer = String::new();
        let length = body.len();
        let _ = write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub fn metric(&self, series: &str) -> u64 {
        let text = self.http("/metrics");
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok();
        text.lines().find_map(value).unwrap_or_else(|| panic!("no {series} in {text}"))
    }

    /// The first log line with this text, once it is there.
    pub fn wait_log(&mut self, part: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(line) = self.lines.lock().unwrap().iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                Instant::now() < end && ended.is_none(),
                "no {part} in {:#?}",
                self.lines.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub fn wait_exit(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a text field of a JSON line.
fn field(line: &str, name: &str) -> String {
    let start = line.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
    line[start..].split('"').next().unwrap().to_owned()
}
