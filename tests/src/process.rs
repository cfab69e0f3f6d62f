//! A child process that never outlives its test.

use crate::{GLANCE, PATIENCE};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program; its output goes to a file. Stopped by its id when dropped, also in a panic.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// How long a program may take to end in good order before it is killed.
const FAREWELL: Duration = Duration::from_secs(5);

impl Process {
    /// Starts `program` with `args`; standard output and error go to the file `log`.
    ///
    /// `setpriv` makes the kernel stop the program if the test dies without unwinding.
    ///
    /// # Panics
    /// If the program is not installed or cannot be started.
    #[must_use]
    pub fn start(program: &Path, args: &[&str], log: PathBuf) -> Self {
        Self::spawn(program, args, log, Stdio::null())
    }

    /// The same, reading what [`Self::feed`] gives it.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_fed(program: &Path, args: &[&str], log: PathBuf) -> Self {
        Self::spawn(program, args, log, Stdio::piped())
    }

    /// Gives it a line on its standard input; nothing if it reads none.
    pub fn feed(&mut self, line: &str) {
        if let Some(stdin) = self.child.stdin.as_mut() {
            // One that has ended says so where its end is waited for.
            let _ = writeln!(stdin, "{line}");
        }
    }

    fn spawn(program: &Path, args: &[&str], log: PathBuf, stdin: Stdio) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let out = std::fs::File::create(&log).expect("a log file in the test's directory");
        let err = out.try_clone().expect("a second handle of the log");
        let child = Command::new(find("setpriv", "util-linux"))
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(args)
            .stdin(stdin)
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Self { name, child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All it has printed so far; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until its output satisfies `condition`.
    ///
    /// # Panics
    /// With the end of its output after [`PATIENCE`], or as soon as it has ended without.
    pub fn wait_output<T>(&mut self, what: &str, mut condition: impl FnMut(&str) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().ok().flatten();
            let output = self.output();
            if let Some(value) = condition(&output) {
                return value;
            }
            if let Some(status) = ended {
                panic!("{}: ended ({status}) before {what}\n{}", self.name, tail(&output));
            }
            assert!(start.elapsed() < PATIENCE, "{}: no {what}\n{}", self.name, tail(&output));
            std::thread::sleep(GLANCE);
        }
    }

    /// Waits until its output contains `text`.
    ///
    /// # Panics
    /// As [`Self::wait_output`].
    pub fn wait_for(&mut self, text: &str) {
        self.wait_output(&format!("{text:?} in its output"), |output| output.contains(text).then_some(()));
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With the end of its output after [`PATIENCE`].
    pub fn wait_end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            let late = start.elapsed() >= PATIENCE;
            assert!(!late, "{}: does not end\n{}", self.name, tail(&self.output()));
            std::thread::sleep(GLANCE);
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal; nothing if it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.is_running() && start.elapsed() < FAREWELL {
            std::thread::sleep(GLANCE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- output of {} ({})\n{}", self.name, self.log.display(), tail(&self.output()));
        }
    }
}

/// The path of an installed program.
///
/// # Panics
/// If it is not installed, naming the package.
#[must_use]
pub fn find(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons live in sbin, which is not in every user's path.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("{program} is not installed: `apt-get install {package}`, or `cargo xtask test`, which installs it")
        })
}

/// The last lines of a program's output, enough to see why a test failed.
fn tail(output: &str) -> &str {
    const KEPT: usize = 6000;
    let mut start = output.len().saturating_sub(KEPT);
    while !output.is_char_boundary(start) {
        start += 1;
    }
    &output[start..]
}
