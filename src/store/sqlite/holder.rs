//! Which process has locked a file, as far as the system tells. Takes no lock itself, so that nobody notices. Knows nothing of
//! what is in the file.

use std::{fmt, fs, os::unix::fs::MetadataExt as _, path::Path};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub process: u32,
    name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.process, self.name)
    }
}

impl Holder {
    /// The process of this id.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        let name = if name.is_empty() { "of another user" } else { name.trim_end() };
        Self { process, name: name.to_owned() }
    }

    /// Who has locked `file`. None if nobody has, or nobody who can be seen from here.
    #[must_use]
    pub fn of_lock(file: &Path) -> Option<Self> {
        let inode = fs::metadata(file).ok()?.ino();
        let locks = fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| locker(line, inode)).map(Self::of)
    }

    /// Whether it was killed, or ends by itself: the system takes its locks once it has taken back its memory.
    pub(super) fn is_dying(&self) -> bool {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.process));
        match (read("stat"), read("status")) {
            (Ok(stat), Ok(status)) => is_ending(&stat) || is_killed(&status),
            // Gone in between.
            _ => !Path::new(&format!("/proc/{}", self.process)).exists(),
        }
    }
}

/// The process of a line such as `1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF`, if it is about this file.
fn locker(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, process, place, ..] = words[..] else { return None };
    let found: u64 = place.rsplit(':').next()?.parse().ok()?;
    if found == inode { process.parse().ok() } else { None }
}

/// Of `/proc/[pid]/stat` (proc_pid_stat(5)): the state, and among the flags that it is on its way out.
fn is_ending(stat: &str) -> bool {
    const PF_EXITING: u64 = 4;
    // The name of the process, in brackets, may hold anything.
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let flags = words.get(6).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or_default();
    matches!(words.first(), Some(&"Z" | &"X")) || flags & PF_EXITING != 0
}

/// Of `/proc/[pid]/status` (proc_pid_status(5)): whether a SIGKILL is on its way to the process, or to its first thread.
fn is_killed(status: &str) -> bool {
    const SIGKILL: u64 = 1 << (9 - 1);
    let pending =
        |line: &str| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")).map(str::to_owned);
    let sets = status.lines().filter_map(pending);
    sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).any(|set| set & SIGKILL != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_table_is_read() {
        let line = "1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF";
        assert_eq!(locker(line, 131), Some(4711));
        assert_eq!(locker(line, 13), None);
        assert_eq!(locker("2: POSIX  ADVISORY  WRITE 4711 fe:01:131 0 EOF", 131), None);
    }

    #[test]
    fn a_process_that_ends_is_told_from_one_that_lives() {
        let stat = |state: &str, flags: u32| format!("7 (a) b) {state} 1 7 7 0 -1 {flags} 0 0");
        for (stat, ending) in [
            (stat("S", 0x40_0000), false),
            (stat("R", 0x40_0004), true),
            (stat("Z", 0x40_0000), true),
            (String::new(), false),
        ] {
            assert_eq!(is_ending(&stat), ending, "{stat}");
        }
        for (set, killed) in [("0000000000000100", true), ("0000000000000200", false), ("", false)] {
            assert_eq!(is_killed(&format!("Name: x\nSigPnd:\t{set}\nSigQ: 1/2\n")), killed, "{set}");
            assert_eq!(is_killed(&format!("ShdPnd:\t{set}\n")), killed, "{set}");
            assert!(!is_killed(&format!("SigBlk:\t{set}\n")));
        }
        assert!(!Holder::of(std::process::id()).is_dying());
    }

    #[test]
    fn this_process_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = fs::File::create(&path).unwrap();
        assert_eq!(Holder::of_lock(&path), None);
        file.lock().unwrap();
        assert_eq!(Holder::of_lock(&path).unwrap().process, std::process::id());
    }
}
