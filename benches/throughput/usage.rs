//! What processes use, as the kernel counts it: CPU time and memory from `/proc`.

use std::fs;
use std::path::Path;

/// CPU time so far, in seconds of one core.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuSeconds(pub f64);

/// Memory of one process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub rss_bytes: u64,
    /// The most that was ever resident.
    pub peak_bytes: u64,
}

/// CPU time of the machine since it started, in seconds of one core.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Machine {
    /// Spent by anyone, or taken by the host.
    pub busy_seconds: f64,
    pub all_seconds: f64,
}

pub fn cpu(process: u32) -> Option<CpuSeconds> {
    let text = read(format!("/proc/{process}/stat"))?;
    Some(CpuSeconds(ticks_of_process(&text)? as f64 / ticks_per_second()))
}

pub fn memory(process: u32) -> Option<Memory> {
    memory_in(&read(format!("/proc/{process}/status"))?)
}

pub fn machine() -> Option<Machine> {
    machine_in(&read("/proc/stat")?, ticks_per_second())
}

/// What the machine is. What the system does not tell is empty or 0.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub processor: String,
    pub memory_bytes: u64,
    pub kernel: String,
    /// Processes that wanted to run in the last minute.
    pub load: f64,
}

pub fn about_machine() -> About {
    let text = |path: &str| read(path).unwrap_or_default();
    let (cpus, memory) = (text("/proc/cpuinfo"), text("/proc/meminfo"));
    let processor = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    About {
        processor: processor.map_or(String::new(), |(_, name)| name.trim().to_owned()),
        memory_bytes: kib_of(&memory, "MemTotal").unwrap_or_default() * 1024,
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        load: text("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// User and system time (fields 14 and 15 of proc(5)). The second field is the program's name in parentheses, which may
/// hold spaces and parentheses itself.
fn ticks_of_process(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn memory_in(status: &str) -> Option<Memory> {
    Some(Memory { rss_bytes: kib_of(status, "VmRSS")? * 1024, peak_bytes: kib_of(status, "VmHWM")? * 1024 })
}

/// The number of a line like `VmRSS:   10240 kB`.
fn kib_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The line `cpu`: user, nice, system, idle, iowait, irq, softirq, steal, …
fn machine_in(stat: &str, ticks_per_second: f64) -> Option<Machine> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // What follows is contained in user and nice.
    let ticks = ticks.get(..8)?;
    let all: u64 = ticks.iter().sum();
    let idle = ticks[3] + ticks[4];
    Some(Machine { busy_seconds: (all - idle) as f64 / ticks_per_second, all_seconds: all as f64 / ticks_per_second })
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        for name in ["waxwing", "tokio-rt 1", "a) S 1 (b", ")"] {
            let stat = format!("4242 ({name}) S 1 4242 4242 0 -1 4194560 5000 0 3 0 250 50 7 9 20 0 4 0 1000 0 0");
            assert_eq!(ticks_of_process(&stat), Some(300), "{name}");
        }
        assert_eq!(ticks_of_process("4242 (waxwing) S 1"), None);
        assert_eq!(ticks_of_process(""), None);
    }

    #[test]
    fn memory_is_read_in_bytes_and_a_process_that_ended_has_none() {
        let status = "Name:\twaxwing\nVmPeak:\t  999999 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\nThreads:\t4\n";
        assert_eq!(memory_in(status), Some(Memory { rss_bytes: 10 << 20, peak_bytes: 20 << 20 }));
        assert_eq!(memory_in("Name:\twaxwing\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn waiting_for_the_disk_is_idle_and_a_guest_is_not_counted_twice() {
        let stat = "cpu  100 10 50 1000 40 5 15 20 70 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(machine_in(stat, 100.0), Some(Machine { busy_seconds: 2.0, all_seconds: 12.4 }));
        assert_eq!(machine_in("cpu0 1 2 3\n", 100.0), None);
    }

    #[test]
    fn this_process_is_found() {
        let own = std::process::id();
        assert!(cpu(own).is_some());
        let memory = memory(own).unwrap();
        assert!(memory.rss_bytes > 0 && memory.peak_bytes >= memory.rss_bytes);
        assert!(machine().unwrap().all_seconds > 0.0);
    }
}
