//! Which process listens on a port or has a file open that is gone, as far as the system tells. Opens no connection, so that
//! nobody notices.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::store::sqlite::Holder;

/// Who still has the file open that stood at `path` and was removed or replaced.
pub(super) fn of_removed(path: &Path) -> Option<Holder> {
    // A folder that is gone, too, has no other name than the one it is called by.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder)).ok()?;
    let mut link = folder.join(path.file_name()?).into_os_string();
    link.push(" (deleted)");
    let link = PathBuf::from(link);
    processes()?.find(|&process| has_open(process, &link)).map(Holder::of)
}

/// Who listens on the port of `address`.
pub(super) fn of_port(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inode =
        tables.iter().flat_map(|table| table.lines()).find_map(|line| listener(line, address.port()))?;
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    processes()?.find(|&process| has_open(process, &socket)).map(Holder::of)
}

/// The processes that there are.
fn processes() -> Option<impl Iterator<Item = u32>> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    Some(processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// Whether a process has something open, as far as we may know.
fn has_open(process: u32, what: &Path) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link == what))
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
        let line = "   0: 0100007F:1CFC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100";
        assert_eq!(listener(line, 7420), Some(99));
        assert_eq!(listener(line, 7421), None);
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), 7420), None);
    }

    #[test]
    fn this_process_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let _file = fs::File::create(&path).unwrap();
        assert_eq!(of_removed(&path), None);
        fs::remove_file(&path).unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for holder in [of_removed(&path), of_port(socket.local_addr().unwrap())] {
            assert_eq!(holder.unwrap().process, std::process::id());
        }
    }
}
