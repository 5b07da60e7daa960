//! What machine this is, in one line. Knows nothing of what is measured on it.

use std::fs;

/// Processors, memory and kernel of this machine, as far as they can be told.
#[must_use]
pub fn describe() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    describe_from(
        processors,
        &read("/proc/cpuinfo"),
        &read("/proc/meminfo"),
        &read("/proc/sys/kernel/osrelease"),
    )
}

fn describe_from(processors: usize, cpuinfo: &str, meminfo: &str, release: &str) -> String {
    let field = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned()))
            .filter(|value| !value.is_empty())
    };
    let model = field(cpuinfo, "model name").unwrap_or_else(|| "processor".to_owned());
    let memory = field(meminfo, "MemTotal")
        .and_then(|total| total.strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map(|kib| format!(", {:.0} GiB", kib as f64 / (1 << 20) as f64))
        .unwrap_or_default();
    let kernel = match release.trim() {
        "" => String::new(),
        release => format!(", Linux {release}"),
    };
    format!("{processors} x {model}{memory}{kernel}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_one_line() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(
            describe_from(2, cpuinfo, "MemTotal:       8028264 kB\n", "6.1.0\n"),
            "2 x Some CPU @ 2 GHz, 8 GiB, Linux 6.1.0"
        );
        assert_eq!(describe_from(4, "", "", ""), "4 x processor");
    }
}
