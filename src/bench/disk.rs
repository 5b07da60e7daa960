//! What the disk takes to make a write durable, by itself. Knows nothing of databases.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Instant,
};

use super::latency::Latency;

/// As much as a small commit writes.
const BYTES: [u8; 4096] = [0x5a; 4096];

/// Appends 4 KiB so many times to a file in this directory, each time until fdatasync says that it is on disk. The file is
/// removed again. Blocks.
///
/// # Errors
/// When the directory cannot be written.
pub fn probe(directory: &Path, times: u32) -> io::Result<Latency> {
    let path = directory.join(format!("swarmem-probe-{}", uuid::Uuid::new_v4()));
    let probed = File::options().create_new(true).write(true).open(&path).and_then(|mut file| {
        // Space first: a file that grows has its size made durable too, which is not what a log in use pays.
        file.write_all(&BYTES.repeat(times as usize))?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        let mut latency = Latency::default();
        for _ in 0..times {
            let begun = Instant::now();
            file.write_all(&BYTES)?;
            file.sync_data()?;
            latency.record(begun.elapsed());
        }
        Ok(latency)
    });
    // Not there when it could not be created; in all other cases nothing can be done about a file that stays.
    let _ = std::fs::remove_file(&path);
    probed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(probe(directory.path(), 3).unwrap().count(), 3);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(probe(&directory.path().join("missing"), 1).is_err());
    }
}
