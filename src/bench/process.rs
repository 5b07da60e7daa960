//! What a process of this machine spends: processor time and memory, as `/proc` tells them. Knows nothing of what the
//! process does. Where there is no `/proc` nothing is known, and said so.

use std::{fs, net::IpAddr, path::Path, time::Duration};

/// The unit of processor time in `/proc`, fixed in the kernel's interface: 100 a second.
const TICK: Duration = Duration::from_millis(10);

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

/// What a process has spent so far, in user and in kernel mode, by all its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage(Duration);

impl Process {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        Self(std::process::id())
    }

    /// The memory it occupies now, in bytes.
    #[must_use]
    pub fn rss_bytes(self) -> Option<u64> {
        rss(&fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?)
    }

    /// The process that listens on this port of this machine. None if it cannot be told: a listener on another machine, or
    /// of a user whose processes may not be looked at.
    #[must_use]
    pub fn listening_on(host: &str, port: u16) -> Option<Self> {
        let local = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|a| a.is_loopback());
        if !local {
            return None;
        }
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| listener_inode(&fs::read_to_string(table).ok()?, port))
            .find_map(owner_of_socket)
    }

    /// The process that listens on the unix socket at this path. None if it cannot be told.
    #[must_use]
    pub fn listening_at(path: &Path) -> Option<Self> {
        let path = path.to_str()?;
        let table = fs::read_to_string("/proc/net/unix").ok()?;
        let inode = table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            // A listener's flags say that it accepts.
            let listens = fields.get(3)? == &"00010000" && fields.get(7)? == &path;
            listens.then(|| fields[6].parse().ok())?
        })?;
        owner_of_socket(inode)
    }
}

impl Usage {
    /// What a process has spent so far.
    #[must_use]
    pub fn of(Process(pid): Process) -> Option<Self> {
        cpu(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(Self)
    }

    /// What was spent since an earlier look.
    #[must_use]
    pub fn since(self, before: Self) -> Duration {
        self.0.saturating_sub(before.0)
    }
}

/// User and system time out of `/proc/PID/stat`.
fn cpu(stat: &str) -> Option<Duration> {
    // The name of the program may hold anything, blanks and brackets too; behind its last bracket stands the state.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

/// The resident memory out of `/proc/PID/status`.
fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The inode of the socket that listens on a port, out of `/proc/net/tcp`.
fn listener_inode(table: &str, port: u16) -> Option<u64> {
    const LISTENS: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let found = fields.get(1)?.ends_with(&port) && fields.get(3)? == &LISTENS;
        found.then(|| fields.get(9)?.parse().ok())?
    })
}

fn owner_of_socket(inode: u64) -> Option<Process> {
    let link = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        descriptors
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == link.as_str()))
            .then_some(Process(pid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 7 7 20 0 3 0 100 1000 10 1 1";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(rss("Name:\ta\nVmHWM:\t  9 kB\nVmRSS:\t    1536 kB\n"), Some(1_572_864));
        assert_eq!(rss("Name:\ta\n"), None);
    }

    #[test]
    fn this_process_is_found_by_its_sockets() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        assert_eq!(Process::listening_on("127.0.0.1", port), Some(Process::this()));
        assert_eq!(Process::listening_on("192.0.2.1", port), None);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(Process::listening_at(&path), Some(Process::this()));
        assert_eq!(Process::listening_at(&directory.path().join("other")), None);
    }

    #[test]
    fn this_process_costs_something() {
        assert!(Process::this().rss_bytes().unwrap() > 1 << 20);
        assert!(Usage::of(Process::this()).is_some());
        let (before, after) = (Usage(Duration::from_secs(1)), Usage(Duration::from_secs(3)));
        assert_eq!(after.since(before), Duration::from_secs(2));
    }
}
