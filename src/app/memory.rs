//! How much memory this process may use, as its control groups say. Knows nothing of what it is used for.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Limits beyond are none: version 1 says so for "unlimited".
const LIMIT_MAX: u64 = 1 << 60;

/// The smallest limit of the control groups that the process is in; none: it is not limited.
pub(super) fn limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| limit_of(root, line)).min()
}

/// The smallest limit of one group and those above it. A line is `hierarchy:controllers:path`.
fn limit_of(root: &Path, line: &str) -> Option<u64> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let (base, file) = if controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let base = root.join(base);
    let group: PathBuf = base.join(path.trim_start_matches('/'));
    let limits = group.ancestors().take_while(|group| group.starts_with(&base)).filter_map(|group| {
        // "max" is no number.
        fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
    });
    limits.filter(|limit| *limit < LIMIT_MAX).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(groups: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files.iter().chain([&("proc/self/cgroup", groups)]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let files = [
            ("sys/fs/cgroup/a/memory.max", "1000000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/other/memory.max", "10\n"),
        ];
        assert_eq!(limit_below(root("0::/a/b\n", &files).path()), Some(1_000_000));
        assert_eq!(limit_below(root("0::/\n", &files).path()), None);
        assert_eq!(limit_below(root("", &files).path()), None);
    }

    #[test]
    fn version_one_is_known_too() {
        let files = [
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limit_below(root("5:cpu:/x\n4:hugetlb,memory:/a\n", &files).path()), Some(5000));
        assert_eq!(limit_below(root("4:memory:/\n", &files).path()), None);
    }
}
