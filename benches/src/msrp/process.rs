//! A relay process: started, measured with all its children, ended.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running relay; ends with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// CPU nanoseconds per second while nothing is relayed.
    idle: f64,
}

impl Process {
    /// Starts `command`; what it says goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let log = std::fs::File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { child, idle: 0.0 })
    }

    /// Learns what it costs to do nothing.
    ///
    /// # Errors
    /// If it is gone.
    pub fn learn_idle(&mut self) -> io::Result<()> {
        let (cpu, start) = (self.cpu_nanos()?, Instant::now());
        std::thread::sleep(Duration::from_millis(400));
        self.idle = (self.cpu_nanos()? - cpu) as f64 / start.elapsed().as_secs_f64();
        Ok(())
    }

    /// CPU nanoseconds that `work` made it spend, idle time subtracted.
    ///
    /// # Errors
    /// Those of `work`, or if it is gone.
    pub fn cost_of(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
        let (cpu, start) = (self.cpu_nanos()?, Instant::now());
        work()?;
        let spent = (self.cpu_nanos()? - cpu) as f64;
        Ok(spent - self.idle * start.elapsed().as_secs_f64())
    }

    /// CPU time of all its threads and children so far.
    fn cpu_nanos(&self) -> io::Result<u64> {
        cpu_of_tree(self.child.id())
    }

    /// Memory that it alone holds, and its share of what it shares, in bytes; without children.
    ///
    /// # Errors
    /// If it is gone.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        Ok(kilobytes(&text, "Pss:") * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM, so that a parent of workers ends them too.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_of_tree(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        let text = std::fs::read_to_string(task.join("schedstat"))?;
        total += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|n| n.parse().ok()) {
            total += cpu_of_tree(child).unwrap_or(0);
        }
    }
    Ok(total)
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

/// Pins this thread, and all processes it starts, to one core.
pub fn pin() {
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let mut set = rustix::thread::CpuSet::new();
    set.set(last);
    if rustix::thread::sched_setaffinity(None, &set).is_err() {
        println!("not pinned to a core: figures will be noisier");
    }
}
