//! How much memory the process has, and how much it may have.

use std::fmt;

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Reads the process's memory from the operating system.
pub(super) struct MemoryGauge {
    system: Option<System>,
    own: Option<Pid>,
}

/// What a gauge shows, in bytes; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryReading {
    /// Resident memory of the process.
    pub(super) used: Option<u64>,
    /// What there is in all: the machine's, or what the process's control group allows.
    pub(super) total: Option<u64>,
}

impl Default for MemoryGauge {
    fn default() -> Self {
        Self {
            system: System::new().ok(),
            own: sysinfo::get_current_pid().ok(),
        }
    }
}

impl fmt::Debug for MemoryGauge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemoryGauge")
    }
}

impl MemoryGauge {
    pub(super) fn read(&mut self) -> MemoryReading {
        let (Some(system), Some(own)) = (&mut self.system, self.own) else {
            return MemoryReading::default();
        };
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, what);
        let process = system.process(own);
        let machine = Some(system.total_memory()).filter(|total| *total > 0);
        let group = process
            .and_then(|process| process.cgroup_limits())
            .map(|limits| limits.total_memory);
        MemoryReading {
            used: process.map(|process| process.memory()),
            total: machine.into_iter().chain(group).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_has_some_of_the_memory_that_there_is() {
        let reading = MemoryGauge::default().read();
        let (used, total) = (reading.used.unwrap(), reading.total.unwrap());
        assert!(0 < used && used < total, "{reading:?}");
    }
}
