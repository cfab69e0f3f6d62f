//! A run from the first connection to the report.

use crate::meter;
use crate::plan::Plan;
use crate::series::Series;
use crate::shell::{Clock, Handle, drive};
use core::time::Duration;
use indicatif::{ProgressBar, ProgressStyle};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// What a run needs besides its plan.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// Threads that play UEs; 0 counts as 1.
    pub threads: u32,
    /// How servers are checked; needed for TLS.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The process of the edge, whose CPU and memory are measured.
    pub measured_pid: Option<u32>,
    /// Whether progress is drawn on standard error.
    pub shows_progress: bool,
}

/// What the edge's process cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// CPU nanoseconds during the steady time.
    pub cpu_nanos: u64,
    /// CPU nanoseconds a second while connections and registrations stood idle.
    pub idle_nanos_per_second: f64,
    /// Bytes held before the first connection.
    pub memory_before: u64,
    /// Bytes held when connections and registrations stood, before the load.
    pub memory_set_up: u64,
    /// Bytes held at the end of the steady time.
    pub memory_loaded: u64,
}

/// Everything a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done.
    pub plan: Plan,
    /// What was seen.
    pub series: Series,
    /// What the edge used, if it was measured: one sample a second of (seconds, CPU share, bytes).
    pub samples: Vec<(f64, f64, u64)>,
    /// In total.
    pub cost: Option<Cost>,
    /// The share of one core that the busiest possible thread of the generator used: own CPU time over
    /// time and threads, the answering core included.
    pub generator_share: f64,
    /// Why the generator itself may have been the bottleneck; empty if it was not.
    pub doubts: Vec<String>,
}

/// Runs a plan.
///
/// # Errors
/// If connections or registrations cannot be set up, or the measured process is gone.
pub fn run(plan: &Plan, means: &Means) -> io::Result<Outcome> {
    let threads = means.threads.clamp(1, plan.users.max(1));
    let clock = Clock::start();
    let memory_before = means.measured_pid.map(meter::memory_bytes).transpose()?.unwrap_or(0);
    let mut crew = Crew::start(plan, means, threads, clock)?;
    let bar = progress(means.shows_progress);
    crew.await_setup(plan, &bar)?;
    let mut cost = Cost { memory_before, ..Cost::default() };
    if let Some(pid) = means.measured_pid {
        cost.memory_set_up = meter::memory_bytes(pid)?;
        let (before, start) = (meter::cpu_nanos(pid)?, clock.now());
        std::thread::sleep(Duration::from_millis(500));
        let spent = meter::cpu_nanos(pid)?.saturating_sub(before) as f64;
        cost.idle_nanos_per_second = spent / clock.now().since(start).as_secs_f64();
    }
    crew.begin();
    let start = clock.now();
    let mut samples = Vec::new();
    let mut watch = Watch { pid: means.measured_pid, last: None, samples: &mut samples };
    watch_for(&mut watch, &crew, &bar, "warm-up", plan.warm_up, start, clock)?;
    let own_before = meter::own_cpu_nanos();
    let cpu_before = means.measured_pid.map(meter::cpu_nanos).transpose()?;
    let steady_start = clock.now();
    watch_for(&mut watch, &crew, &bar, "steady", plan.steady, start, clock)?;
    if let (Some(pid), Some(before)) = (means.measured_pid, cpu_before) {
        cost.cpu_nanos = meter::cpu_nanos(pid)?.saturating_sub(before);
        cost.memory_loaded = meter::memory_bytes(pid)?;
    }
    let steady = clock.now().since(steady_start).as_secs_f64();
    let own = meter::own_cpu_nanos().saturating_sub(own_before) as f64;
    crew.await_answers(plan.cool_down, &bar);
    bar.finish_and_clear();
    let series = crew.finish()?;
    let generator_share = own / 1e9 / steady.max(1e-9) / f64::from(threads + 1);
    let doubts = doubts(&series, generator_share);
    let cost = means.measured_pid.is_some().then_some(cost);
    Ok(Outcome { plan: plan.clone(), series, samples, cost, generator_share, doubts })
}

/// The generator is no bottleneck if it sent when it should and had time to spare.
fn doubts(series: &Series, share: f64) -> Vec<String> {
    let mut doubts = Vec::new();
    let late = series.lateness.quantile(0.99);
    if late > Duration::from_millis(20) {
        doubts.push(format!("one request in a hundred was sent {late:?} or more after it was due"));
    }
    if share > 0.9 {
        doubts.push(format!("the generator used {:.0} % of its threads", share * 100.0));
    }
    if series.starved > 0 {
        doubts.push(format!("{} requests were not sent because every user was busy", series.starved));
    }
    doubts
}

struct Crew {
    handles: Vec<Arc<Handle>>,
    threads: Vec<JoinHandle<io::Result<Series>>>,
}

impl Crew {
    fn start(plan: &Plan, means: &Means, count: u32, clock: Clock) -> io::Result<Self> {
        let mut crew = Self { handles: Vec::new(), threads: Vec::new() };
        let mut first_user = 0;
        for number in 0..count {
            let part = plan.part(number, count);
            let users = u64::from(part.users);
            let (handle, tls) = (Arc::new(Handle::default()), means.tls.clone());
            crew.handles.push(Arc::clone(&handle));
            let thread = std::thread::Builder::new().name(format!("load-ue-{number}"));
            crew.threads.push(thread.spawn(move || drive(part, first_user, tls, clock, &handle))?);
            first_user += users;
        }
        Ok(crew)
    }

    fn sum(&self, of: impl Fn(&Handle) -> u64) -> u64 {
        self.handles.iter().map(|handle| of(handle)).sum()
    }

    fn await_setup(&mut self, plan: &Plan, bar: &ProgressBar) -> io::Result<()> {
        let expected = f64::from(plan.users) / plan.setup_per_second.max(1.0);
        let limit = std::time::Instant::now() + Duration::from_secs_f64(expected * 3.0 + 40.0);
        while !self.handles.iter().all(|handle| handle.is_set_up()) {
            if let Some(at) = self.threads.iter().position(JoinHandle::is_finished) {
                self.end();
                let ended = self.threads.swap_remove(at).join();
                let error = ended.map_err(|_| io::Error::other("a generator thread panicked"))?.err();
                return Err(error.unwrap_or_else(|| io::Error::other("a generator thread ended early")));
            }
            if std::time::Instant::now() > limit {
                self.end();
                let registered = self.sum(|h| h.registered.load(Ordering::Relaxed));
                let users = plan.users;
                return Err(io::Error::other(format!(
                    "the setup hangs: {registered} of {users} users registered"
                )));
            }
            bar.set_message(format!("set-up: {} users", self.sum(|h| h.registered.load(Ordering::Relaxed))));
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn begin(&self) {
        self.handles.iter().for_each(|handle| handle.begin());
    }

    fn end(&self) {
        self.handles.iter().for_each(|handle| handle.end());
    }

    fn await_answers(&self, limit: Duration, bar: &ProgressBar) {
        let end = std::time::Instant::now() + limit;
        while std::time::Instant::now() < end {
            let waiting = self.sum(|h| h.in_flight.load(Ordering::Relaxed));
            if waiting == 0 {
                break;
            }
            bar.set_message(format!("cool-down: {waiting} unanswered"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn finish(self) -> io::Result<Series> {
        self.end();
        let mut whole: Option<Series> = None;
        for thread in self.threads {
            let part = thread.join().map_err(|_| io::Error::other("a generator thread panicked"))??;
            match &mut whole {
                Some(whole) => whole.merge(&part),
                None => whole = Some(part),
            }
        }
        whole.ok_or_else(|| io::Error::other("nothing ran"))
    }
}

struct Watch<'a> {
    pid: Option<u32>,
    last: Option<(u64, wire::Instant)>,
    samples: &'a mut Vec<(f64, f64, u64)>,
}

impl Watch<'_> {
    fn sample(&mut self, start: wire::Instant, clock: Clock) -> io::Result<()> {
        let Some(pid) = self.pid else {
            return Ok(());
        };
        let (cpu, now) = (meter::cpu_nanos(pid)?, clock.now());
        if let Some((before, at)) = self.last {
            let share = cpu.saturating_sub(before) as f64 / 1e9 / now.since(at).as_secs_f64().max(1e-9);
            self.samples.push((now.since(start).as_secs_f64(), share, meter::memory_bytes(pid)?));
        }
        self.last = Some((cpu, now));
        Ok(())
    }
}

fn watch_for(
    watch: &mut Watch<'_>,
    crew: &Crew,
    bar: &ProgressBar,
    phase: &str,
    length: Duration,
    start: wire::Instant,
    clock: Clock,
) -> io::Result<()> {
    let end = std::time::Instant::now() + length;
    let mut done = crew.sum(|h| h.done.load(Ordering::Relaxed));
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        watch.sample(start, clock)?;
        std::thread::sleep(left.min(Duration::from_secs(1)));
        let now_done = crew.sum(|h| h.done.load(Ordering::Relaxed));
        let failed = crew.sum(|h| h.failed.load(Ordering::Relaxed));
        bar.set_message(format!("{phase}: {}/s done, {failed} failed", now_done.saturating_sub(done)));
        done = now_done;
    }
}

fn progress(shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
