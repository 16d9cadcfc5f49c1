//! What the system knows about this process, with the names that all Prometheus clients use. Read when the page is
//! written; systems without `/proc` show nothing.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::fs;

/// Linux counts times of processes in this unit, whatever the clock of the kernel.
const TICKS_PER_SECOND: f64 = 100.0;
const KIB: f64 = 1024.0;

#[derive(Debug)]
pub(super) struct ProcessCollector;

/// `None` is not known.
#[derive(Debug, Default, PartialEq)]
struct Status {
    cpu_seconds: Option<f64>,
    start_time_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    open_files: Option<f64>,
    max_files: Option<f64>,
}

impl Status {
    fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = Self::parse(&file("/proc/self/stat"), &file("/proc/self/status"), &file("/proc/stat"));
        Self { open_files: open_files(), max_files: max_files(&file("/proc/self/limits")), ..status }
    }

    /// From `/proc/self/stat`, `/proc/self/status` and `/proc/stat`.
    fn parse(stat: &str, status: &str, system: &str) -> Self {
        // The name of the program, which may have spaces, ends with the last parenthesis. The third field follows it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|size| size * KIB)
        };
        let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        Self {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, kernel)| (user + kernel) / TICKS_PER_SECOND),
            start_time_seconds: boot.zip(ticks(22)).map(|(boot, start)| boot + start / TICKS_PER_SECOND),
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            ..Self::default()
        }
    }
}

fn open_files() -> Option<f64> {
    // One of them is the folder itself, while it is read.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

fn max_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = Status::read();
        if let Some(seconds) = status.cpu_seconds {
            let counter = ConstCounter::new(seconds);
            let help = "CPU time in user and kernel mode";
            let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), counter.metric_type())?;
            counter.encode(metric)?;
        }
        let gauges = [
            ("process_resident_memory", "Resident memory", Some(Unit::Bytes), status.resident_bytes),
            ("process_virtual_memory", "Virtual memory", Some(Unit::Bytes), status.virtual_bytes),
            ("process_start_time", "Unix time of the start", Some(Unit::Seconds), status.start_time_seconds),
            ("process_open_fds", "Open file descriptors", None, status.open_files),
            ("process_max_fds", "Limit of open file descriptors", None, status.max_files),
        ];
        for (name, help, unit, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_linux_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 2000 9 9 9";
        let status = "Name:\tbindd\nVmSize:\t   2048 kB\nVmRSS:\t    10 kB\n";
        let parsed = Status::parse(stat, status, "cpu 1 2\nbtime 1700000000\n");
        let expected = Status {
            cpu_seconds: Some(2.0),
            start_time_seconds: Some(1_700_000_020.0),
            resident_bytes: Some(10_240.0),
            virtual_bytes: Some(2_097_152.0),
            ..Status::default()
        };
        assert_eq!(parsed, expected);
        assert_eq!(max_files("Limit Soft Hard\nMax open files            1024    4096   files\n"), Some(1024.0));
        assert_eq!(max_files("Max open files   unlimited unlimited files\n"), None);
        assert_eq!(Status::parse("", "", ""), Status::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_read() {
        let status = Status::read();
        assert!(status.resident_bytes.unwrap() > 1e6 && status.open_files.unwrap() > 2.0, "{status:?}");
        assert!(status.start_time_seconds.unwrap() > 1.7e9 && status.cpu_seconds.is_some(), "{status:?}");
    }
}
