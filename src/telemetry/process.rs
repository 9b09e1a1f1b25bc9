//! What the kernel says of this process, by the names that Prometheus' own clients use.

use std::fs;

use super::exposition::{Family, Kind};

/// Linux counts processor time in hundredths of a second on every machine (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// Everything that can be read. Nothing where there is no `/proc`.
pub(super) fn families() -> Vec<Family> {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let open_fds = fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64);
    let times = Times::read(&stat);
    let family = |name, kind, unit, help, value: Option<f64>| {
        value.map(|value| Family::single(name, kind, unit, help, value))
    };
    [
        family(
            "process_cpu_seconds",
            Kind::Counter,
            "seconds",
            "Processor time, user and system.",
            times.as_ref().map(|times| times.cpu_seconds),
        ),
        family(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "bytes",
            "Memory in RAM.",
            kibibytes(&status, "VmRSS:"),
        ),
        family(
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "bytes",
            "Address space.",
            kibibytes(&status, "VmSize:"),
        ),
        family(
            "process_open_fds",
            Kind::Gauge,
            "",
            "Open file descriptors.",
            open_fds.ok(),
        ),
        family(
            "process_max_fds",
            Kind::Gauge,
            "",
            "Most file descriptors that may be open.",
            max_fds(&limits),
        ),
        family(
            "process_threads",
            Kind::Gauge,
            "",
            "Threads.",
            field(&status, "Threads:"),
        ),
        family(
            "process_start_time_seconds",
            Kind::Gauge,
            "seconds",
            "When the process started, since the epoch.",
            field(&boot, "btime ")
                .zip(times)
                .map(|(boot, times)| boot + times.started_after_boot),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// From `/proc/self/stat` (proc_pid_stat(5)).
struct Times {
    cpu_seconds: f64,
    started_after_boot: f64,
}

impl Times {
    fn read(stat: &str) -> Option<Self> {
        // The name in parentheses may hold spaces; the fields after it are counted from 3.
        let (_, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_A_SECOND,
            started_after_boot: ticks(22)? / TICKS_A_SECOND,
        })
    }
}

fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    Some(field(status, name)? * 1024.0)
}

fn max_fds(limits: &str) -> Option<f64> {
    field(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 1200 9 9";
        let times = Times::read(stat).unwrap();
        assert_eq!(times.cpu_seconds, 3.0);
        assert_eq!(times.started_after_boot, 12.0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn all_of_it_is_there_on_linux() {
        assert_eq!(families().len(), 7);
    }
}
