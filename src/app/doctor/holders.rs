//! Which process holds a lock or listens on a port, as far as the system tells. Takes no lock and opens no connection, so
//! that nobody notices.

use std::{
    fmt, fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub process: u32,
    name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.process, self.name)
    }
}

impl Holder {
    fn of(process: u32) -> Self {
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        let name = if name.is_empty() { "of another user" } else { name.trim_end() };
        Self { process, name: name.to_owned() }
    }
}

/// Who has locked `file`.
pub(super) fn of_lock(file: &Path) -> Option<Holder> {
    let inode = fs::metadata(file).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| locker(line, inode)).map(Holder::of)
}

/// The process of a line such as `1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF`, if it is about this file.
fn locker(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, process, place, ..] = words[..] else { return None };
    let found: u64 = place.rsplit(':').next()?.parse().ok()?;
    if found == inode { process.parse().ok() } else { None }
}

/// Who listens on the port of `address`.
pub(super) fn of_port(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inode =
        tables.iter().flat_map(|table| table.lines()).find_map(|line| listener(line, address.port()))?;
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_it = |process: &u32| {
        let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link == socket))
    };
    let mut processes = processes;
    processes.find(has_it).map(Holder::of)
}

/// The inode of the socket of a line of the table, if that listens on this port.
fn listener(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    let local = words.get(1)?.rsplit(':').next()?;
    let is_it = u16::from_str_radix(local, 16).ok()? == port && *words.get(3)? == LISTEN;
    if is_it { words.get(9)?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_tables_are_read() {
        let line = "1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF";
        assert_eq!(locker(line, 131), Some(4711));
        assert_eq!(locker(line, 13), None);
        assert_eq!(locker("2: POSIX  ADVISORY  WRITE 4711 fe:01:131 0 EOF", 131), None);
        let line = "   0: 0100007F:1CFC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100";
        assert_eq!(listener(line, 7420), Some(99));
        assert_eq!(listener(line, 7421), None);
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), 7420), None);
    }

    #[test]
    fn this_process_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = fs::File::create(&path).unwrap();
        assert_eq!(of_lock(&path), None);
        file.lock().unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for holder in [of_lock(&path), of_port(socket.local_addr().unwrap())] {
            assert_eq!(holder.unwrap().process, std::process::id());
        }
    }
}
