//! What the disk below the database is: of what kind, how full, how fast, and for whom it is open.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::cli::doctor::Finding;

/// As many times it is written and waited for the disk, with a page of a database each time.
const PROBES: usize = 50;
const PAGE: [u8; 4096] = [0x5a; 4096];
/// A commit waits for the disk once, and a swarm's commits follow one another.
const SYNC_SLOW: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
const MIB: u64 = 1 << 20;
/// With less free space a warning, and with still less a failure: the write-ahead log alone may take 64 MiB.
const SPACE: (u64, u64) = (1024 * MIB, 64 * MIB);
/// A write-ahead log is cut back to 64 MiB; one that is larger was not moved for long.
const LOG_LARGE: u64 = 64 * MIB;
const IN_MEMORY: &[&str] = &["tmpfs", "ramfs"];
/// On these the locks and the shared memory that SQLite needs do not work, or not always.
const REMOTE: &[&str] =
    &["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs"];

/// The folder of a database.
pub(super) fn folder_of(database: &Path) -> &Path {
    database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// All that there is to say of the folder of `database`.
pub(super) fn check(database: &Path) -> Vec<Finding> {
    let folder = folder_of(database);
    // What is missing is made at the start, below what is there.
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let shown = folder.display();
    let mut findings = match probe(existing) {
        Ok(times) if existing == folder => {
            vec![Finding::ok("folder", format!("{shown} can be written to")), sync(times)]
        }
        Ok(times) => vec![Finding::ok("folder", format!("{shown} is made at the first start")), sync(times)],
        Err(error) => vec![Finding::failure(
            "folder",
            format!("{} cannot be written to: {error}", existing.display()),
            "let the user that runs swarmem write there, or choose another place with --store or store.path",
        )],
    };
    findings.push(kind(existing));
    findings.push(space(existing));
    findings.extend(permissions(database));
    findings.extend(log(database));
    findings
}

/// Removes the probe however it ends.
struct Probe(PathBuf);

impl Drop for Probe {
    fn drop(&mut self) {
        // There is nobody to tell, and the next one overwrites it.
        let _ = fs::remove_file(&self.0);
    }
}

/// How long each of some writes took to reach the disk, in order of length.
fn probe(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".swarmem-doctor-{}", std::process::id()));
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let _probe = Probe(path);
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let begun = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn sync(times: Vec<Duration>) -> Finding {
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let (p50, p99) = (at(50), at(99));
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let figure = format!("fdatasync p50 {:.2} ms, p99 {:.2} ms of {PROBES}", ms(p50), ms(p99));
    if p50 > SYNC_SLOW.0 || p99 > SYNC_SLOW.1 {
        let mend = "every commit waits that long; put store.path on a local SSD";
        return Finding::warning("sync", figure, mend);
    }
    Finding::ok("sync", figure)
}

fn kind(folder: &Path) -> Finding {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some(kind) = folder.canonicalize().ok().and_then(|folder| kind_of(&mounts, &folder)) else {
        return Finding::ok("filesystem", "of an unknown kind");
    };
    if REMOTE.contains(&&*kind) {
        let mend = "SQLite's locks do not hold on a network; put store.path on a local disk";
        return Finding::failure("filesystem", kind, mend);
    }
    if IN_MEMORY.contains(&&*kind) {
        let mend = "this is memory, and a restart of the machine empties it; put store.path on a disk";
        return Finding::warning("filesystem", kind, mend);
    }
    Finding::ok("filesystem", kind)
}

/// The kind of the file system that holds `folder`: of the last mount among those with the longest path above it.
fn kind_of(mounts: &str, folder: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let path = PathBuf::from(before.split(' ').nth(4)?.replace("\\040", " "));
        folder.starts_with(&path).then_some((path.components().count(), after.split(' ').next()?.to_owned()))
    };
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

fn space(folder: &Path) -> Finding {
    let figures = match rustix::fs::statvfs(folder) {
        Ok(figures) => figures,
        Err(error) => return Finding::warning("space", format!("unknown: {error}"), "look with df"),
    };
    let free = figures.f_bavail.saturating_mul(figures.f_frsize);
    judge_space(free)
}

fn judge_space(free: u64) -> Finding {
    let figure = format!("{} MiB free", free / MIB);
    let mend = "make room: without it writes fail";
    match free {
        free if free < SPACE.1 => Finding::failure("space", figure, mend),
        free if free < SPACE.0 => Finding::warning("space", figure, mend),
        _ => Finding::ok("space", figure),
    }
}

/// Whether others may read what agents keep to themselves. Whoever may not enter the folder cannot open the file.
fn permissions(database: &Path) -> Option<Finding> {
    let mode = fs::metadata(database).ok()?.mode();
    let folder = fs::metadata(folder_of(database)).map_or(0o777, |folder| folder.mode());
    let figure = format!("{:03o}", mode & 0o777);
    let may_read = |who: u32| mode & (0o4 << who) != 0 && folder & (0o1 << who) != 0;
    let (group, others) = (may_read(3), may_read(0));
    if group || others {
        let mend = format!("other users can read every memory: chmod 600 {}", database.display());
        return Some(Finding::warning("permissions", figure, mend));
    }
    Some(Finding::ok("permissions", figure))
}

fn log(database: &Path) -> Option<Finding> {
    let bytes = fs::metadata(super::beside(database, "-wal")).ok()?.len();
    let figure = format!("{:.1} MiB in the write-ahead log", bytes as f64 / MIB as f64);
    if bytes > LOG_LARGE {
        let mend = "it is moved into the database when a coordinator stops, or starts after it was killed: restart it; \
                    if that does not help, look for a program that keeps the database open";
        return Some(Finding::warning("log", figure, mend));
    }
    Some(Finding::ok("log", figure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn the_kind_is_that_of_the_nearest_mount() {
        // In any order.
        let mounts = "24 23 0:22 / /srv/my\\040disk rw - xfs /dev/sdb1 rw\n\
                      22 1 0:20 / / rw - ext4 /dev/sda1 rw\n\
                      23 22 0:21 / /srv rw shared:1 - nfs4 host:/srv rw\n";
        for (folder, kind) in
            [("/", "ext4"), ("/srv/a", "nfs4"), ("/srv/my disk/a", "xfs"), ("/srvx", "ext4")]
        {
            assert_eq!(kind_of(mounts, Path::new(folder)).as_deref(), Some(kind), "{folder}");
        }
    }

    #[test]
    fn figures_are_judged() {
        for (free, verdict) in
            [(63 * MIB, Verdict::Failure), (64 * MIB, Verdict::Warning), (1024 * MIB, Verdict::Ok)]
        {
            assert_eq!(judge_space(free).status, verdict);
        }
        let ms = Duration::from_millis;
        for (times, verdict) in [
            (vec![ms(20); 50], Verdict::Ok),
            (vec![ms(21); 50], Verdict::Warning),
            ([vec![ms(1); 49], vec![ms(201)]].concat(), Verdict::Warning),
        ] {
            assert_eq!(sync(times).status, verdict);
        }
    }
}
