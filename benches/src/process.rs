//! What the system knows of a process: processor time and resident memory.

use std::fs;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Lets this process, and those it starts, open as many files as the system permits: thousands of
/// connections are among the workloads.
pub(crate) fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not permitted, a load that needs more says so itself.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Processor time of this or another process so far, in seconds; `None` where unknown.
pub(crate) fn cpu_seconds(pid: Option<u32>) -> Option<f64> {
    if let Some(nanoseconds) = scheduled_nanoseconds(pid) {
        return Some(nanoseconds as f64 / 1e9);
    }
    let stat = fs::read_to_string(path(pid, "stat")).ok()?;
    let ticks = cpu_ticks(&stat)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// What the scheduler gave to the threads that live, to the nanosecond: ticks are too coarse for
/// work that takes few of them.
fn scheduled_nanoseconds(pid: Option<u32>) -> Option<u64> {
    let mut sum = 0_u64;
    for thread in fs::read_dir(path(pid, "task")).ok()? {
        // A thread that ends meanwhile no longer counts.
        let Ok(text) = fs::read_to_string(thread.ok()?.path().join("schedstat")) else {
            continue;
        };
        sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    (sum > 0).then_some(sum)
}

/// Resident memory of a process; `None` where unknown.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(path(Some(pid), "status")).ok()?;
    resident(&status)
}

/// Resident memory of all processes of a group, so that a wrapping shell does not hide them.
pub(crate) fn group_resident_bytes(group: u32) -> Option<u64> {
    let members = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?;
        let stat = fs::read_to_string(path(Some(pid), "stat")).ok()?;
        (process_group(&stat)? == group).then(|| resident_bytes(pid).unwrap_or(0))
    });
    Some(members.sum()).filter(|bytes| *bytes > 0)
}

/// Whether a process has ended, even if nobody has asked for its exit status yet.
pub(crate) fn is_gone(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(path(Some(pid), "stat")) else {
        return true;
    };
    fields(&stat).is_none_or(|fields| matches!(fields.first(), Some(&"Z" | &"X")))
}

fn path(pid: Option<u32>, file: &str) -> String {
    match pid {
        Some(pid) => format!("/proc/{pid}/{file}"),
        None => format!("/proc/self/{file}"),
    }
}

/// The fields after the command's name, which may itself hold spaces and brackets.
fn fields(stat: &str) -> Option<Vec<&str>> {
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().collect())
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    let fields = fields(stat)?;
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    user.checked_add(system)
}

fn process_group(stat: &str) -> Option<u32> {
    fields(stat)?.get(2)?.parse().ok()
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a ) b) S 1 42 7 0 -1 4194560 9 0 0 0 130 20 5 6 20 0 1 0 9 9 9";

    #[test]
    fn processor_time_and_group_are_found_behind_an_odd_name() {
        assert_eq!(cpu_ticks(STAT), Some(150));
        assert_eq!(process_group(STAT), Some(42));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_told_in_bytes() {
        assert_eq!(
            resident("Name:\tx\nVmRSS:\t    1234 kB\n"),
            Some(1234 * 1024)
        );
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
