//! Finds how much memory the kernel allows this process, by the limits of its control groups. It reads no setting of the worker.
//!
//! Sources: the kernel's documentation, `admin-guide/cgroup-v2.rst` ("memory.max") and `admin-guide/cgroup-v1/memory.rst`.

use std::path::Path;

/// Returns the lowest memory limit of the control groups that this process is in, in bytes. `None` means that nothing limits it.
/// `root` is `/`, or a directory of a test with the same files.
///
/// A group's parents limit it too. In a container the path may be the host's, while only its last part is mounted. A part of the
/// path that does not exist limits nothing, and the top of the mounted hierarchy is always read.
pub(super) fn memory(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    groups.lines().filter_map(|line| limit(root, line)).min()
}

/// Returns the memory limit of the group on one line of `/proc/self/cgroup`. A line is `NUMBER:CONTROLLERS:PATH`; version 2 names
/// no controllers.
fn limit(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        names if names.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let mount = root.join(mount);
    let group = Path::new(path.trim_start_matches('/'));
    let read = |group: &Path| std::fs::read_to_string(mount.join(group).join(file)).ok()?.trim().parse().ok();
    group.ancestors().filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the limit that [`memory`] finds under a root with these files.
    fn found(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{text}\n")).unwrap();
        }
        memory(root.path())
    }

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let v2 = ("proc/self/cgroup", "0::/a/b");
        let v1 = ("proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/docker/c\n0::/");
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[v2]), None);
        assert_eq!(found(&[v2, ("sys/fs/cgroup/a/b/memory.max", "max")]), None);
        assert_eq!(found(&[v2, ("sys/fs/cgroup/a/b/memory.max", "536870912")]), Some(512 << 20));
        let parent = ("sys/fs/cgroup/a/memory.max", "1048576");
        assert_eq!(found(&[v2, parent, ("sys/fs/cgroup/a/b/memory.max", "536870912")]), Some(1 << 20));
        // In a container, the process's own group is the top of the hierarchy that is mounted.
        assert_eq!(found(&[v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912")]), Some(512 << 20));
        assert_eq!(found(&[v1, ("sys/fs/cgroup/memory/docker/c/memory.limit_in_bytes", "77")]), Some(77));
        assert_eq!(found(&[v1, ("sys/fs/cgroup/x/memory.limit_in_bytes", "5")]), None, "not the group of memory");
    }
}
