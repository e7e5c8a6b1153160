//! What the system says of this process. Where it does not say, there is nothing to show.

use std::fs;

/// Figures of the process and its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// Memory of the process, in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// Descriptors that are open.
    pub(super) descriptors: Option<u64>,
    /// Descriptors that may be open.
    pub(super) descriptors_max: Option<u64>,
    /// Sockets among the open descriptors.
    pub(super) sockets: Option<u64>,
    /// Switches from this process to another one and back.
    pub(super) context_switches: Option<u64>,
}

impl Machine {
    /// Asks the system. Reads files: not for an asynchronous worker.
    pub(super) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let kilobytes = |text: &str, name| field(text, name).map(|value| value * 1024);
        let switches = |name| field(&status, name);
        let (descriptors, sockets) = descriptors();
        Self {
            resident_bytes: kilobytes(&status, "VmRSS:"),
            descriptors,
            descriptors_max: field(&read("/proc/self/limits"), "Max open files"),
            sockets,
            context_switches: switches("voluntary_ctxt_switches:")
                .zip(switches("nonvoluntary_ctxt_switches:"))
                .map(|(voluntary, forced)| voluntary + forced),
        }
    }
}

/// The first number behind a name that begins a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many descriptors are open, and how many of them are sockets.
fn descriptors() -> (Option<u64>, Option<u64>) {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return (None, None);
    };
    let (mut all, mut sockets) = (0, 0);
    for entry in entries.flatten() {
        all += 1;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        sockets += u64::from(target.to_string_lossy().starts_with("socket:"));
    }
    (Some(all), Some(sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_first_number_behind_its_name() {
        let text = "Name:\tleveret\nVmRSS:\t   12345 kB\nMax open files            1024     4096\n";
        assert_eq!(field(text, "VmRSS:"), Some(12_345));
        assert_eq!(field(text, "Max open files"), Some(1_024));
        assert_eq!(field(text, "Name:"), None);
        assert_eq!(field(text, "VmSwap:"), None);
    }
}
