//! CPU and memory of a process with all its children, from `/proc`.

use std::io;

/// CPU nanoseconds that the process `pid`, its threads and its children have used so far.
///
/// # Errors
/// If the process is gone.
pub fn cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        // A thread may end while we look.
        let text = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        total += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        total += children(&task).map(|child| cpu_nanos(child).unwrap_or(0)).sum::<u64>();
    }
    Ok(total)
}

/// Bytes that the process and its children hold: their own and their part of what they share (PSS).
///
/// # Errors
/// If the process is gone.
pub fn memory_bytes(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let value = |line: &str| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok();
    let mut total = text.lines().find_map(value).unwrap_or(0) * 1_024;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        total += children(&task?.path()).map(|child| memory_bytes(child).unwrap_or(0)).sum::<u64>();
    }
    Ok(total)
}

/// CPU nanoseconds of the calling process.
#[must_use]
pub fn own_cpu_nanos() -> u64 {
    cpu_nanos(std::process::id()).unwrap_or(0)
}

fn children(task: &std::path::Path) -> impl Iterator<Item = u32> + use<> {
    let text = std::fs::read_to_string(task.join("children")).unwrap_or_default();
    text.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_and_memory_is_held() {
        let pid = std::process::id();
        let before = cpu_nanos(pid).unwrap();
        let started = std::time::Instant::now();
        let mut sum = 0_u64;
        while started.elapsed().as_millis() < 30 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(cpu_nanos(pid).unwrap() > before);
        assert!(memory_bytes(pid).unwrap() > 100_000);
        assert!(cpu_nanos(u32::MAX).is_err());
    }
}
