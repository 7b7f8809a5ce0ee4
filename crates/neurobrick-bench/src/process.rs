//! What the operating system knows of this process; every number is `None` where it does not tell (not Linux).

use std::fs;

/// Minor page faults of this process so far: first touches of fresh pages. Large allocations come as fresh pages, so
/// faults per step tell how much memory is not reused between steps.
pub fn page_faults() -> Option<u64> {
    parse_minor_faults(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Field 10 of `/proc/self/stat`. The name of the program, field 2, is in parentheses and may hold anything.
fn parse_minor_faults(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(7)?.parse().ok()
}

/// Resident memory of this process.
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Lets the peak of resident memory count from now; `false` where that is not possible, and the peak is then the one
/// since the start.
pub fn reset_peak_memory() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Processes that wanted to run in the last minute, on average: what disturbs a measurement.
pub fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// Name of the processor.
pub fn processor_name() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_faults_are_the_tenth_field_whatever_the_name() {
        let stat = "4242 (a) b (c d) S 1 4242 4242 0 -1 4194304 987 5 3 2 10 20 0 0 20 0 1 0";
        assert_eq!(parse_minor_faults(stat), Some(987));
        assert_eq!(parse_minor_faults("4242 (a"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn touching_fresh_memory_is_seen() {
        let before = page_faults();
        let fresh = vec![1_u8; 64 << 20];
        let after = page_faults();
        assert!(fresh.iter().step_by(4096).all(|&b| b == 1));
        assert!(after > before, "{before:?} {after:?}");
        assert!(resident_bytes() > Some(64 << 20));
    }
}
