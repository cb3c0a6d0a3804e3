//! What the system tells of a node's process, of this one, and of this machine.

use std::fs;

/// Ticks of a second in `/proc/PID/stat`: `USER_HZ`, fixed in the Linux ABI.
const TICKS_PER_SECOND: u64 = 100;

/// Returns the processor time that a process used so far, its threads included. Unit: nanoseconds, in steps of 10 ms.
pub(crate) fn cpu_ns(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_cpu(&stat).map(|ticks| ticks * (1_000_000_000 / TICKS_PER_SECOND))
}

/// User and system ticks: fields 14 and 15, counted behind the name, which may hold anything.
fn parse_cpu(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

/// Returns the most memory that a process ever had resident. Unit: bytes.
pub(crate) fn memory_peak(pid: u32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

/// Returns the memory that a process has resident now. Unit: bytes.
pub(crate) fn memory_now(pid: u32) -> Option<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse_memory(&status, name)
}

fn parse_memory(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

/// Returns the command line of this run.
pub(crate) fn command() -> String {
    let words = std::env::args().skip(1).map(|word| {
        if word.contains(' ') {
            format!("'{word}'")
        } else {
            word
        }
    });
    format!("cargo xtask {}", words.collect::<Vec<_>>().join(" "))
}

/// Returns the machine in words: cores, processor, memory.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    let memory = read("/proc/meminfo");
    let memory = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let gib = memory
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib >> 20);
    format!(
        "{cores} cores, {}, {gib} GiB",
        cpu.map_or("unknown processor", |(_, name)| name.trim())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0";
        assert_eq!(parse_cpu(stat), Some(100));
        assert_eq!(parse_cpu("12"), None);
    }

    #[test]
    fn memory_is_given_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t     2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(parse_memory(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(parse_memory(status, "VmRSS:"), Some(1 << 10));
        assert_eq!(parse_memory("Name:\tx\n", "VmRSS:"), None);
    }
}
