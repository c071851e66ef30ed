//! What the control groups of this process allow it: CPUs, CPU time, memory; version 2 or 1.
//!
//! Invariants: of nested limits the tightest counts; a group that is not visible from here (in a
//! container without a cgroup namespace) is skipped, and the mounted top is read instead.

use super::root::Root;
use crate::CpuList;

/// Where version 1 keeps "no limit": a number near `i64::MAX`.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// Limits; None where there is none or it cannot be read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CgroupLimits {
    /// CPUs the group may use.
    pub(super) cpus: Option<CpuList>,
    /// CPU time a second, in CPUs.
    pub(super) quota_cpus: Option<f64>,
    /// Memory.
    pub(super) memory_bytes: Option<u64>,
}

impl CgroupLimits {
    pub(super) fn read(root: &Root) -> Self {
        let groups = root.text("/proc/self/cgroup").unwrap_or_default();
        let unified = group_of(&groups, "").unwrap_or("/");
        let top = "/sys/fs/cgroup";
        let quota = upwards(top, unified, |at| quota_v2(&root.text(&format!("{at}/cpu.max"))?));
        let memory = upwards(top, unified, |at| root.number(&format!("{at}/memory.max")));
        let cpus = upwards(top, unified, |at| cpu_list(root, at, "cpuset.cpus.effective"));
        let v1 = |controller: &str| {
            let group = group_of(&groups, controller).unwrap_or("/");
            (format!("{top}/{controller}"), group.to_owned())
        };
        let (cpu_top, cpu_group) = v1("cpu");
        let (memory_top, memory_group) = v1("memory");
        let (cpuset_top, cpuset_group) = v1("cpuset");
        let quota_v1 = upwards(&cpu_top, &cpu_group, |at| {
            let quota = root.number(&format!("{at}/cpu.cfs_quota_us"))?;
            share(quota, root.number(&format!("{at}/cpu.cfs_period_us"))?)
        });
        let memory_v1 = upwards(&memory_top, &memory_group, |at| {
            root.number(&format!("{at}/memory.limit_in_bytes"))
        });
        let cpus_v1 =
            upwards(&cpuset_top, &cpuset_group, |at| cpu_list(root, at, "cpuset.effective_cpus"));
        let memory = memory.into_iter().chain(memory_v1).filter(|bytes| *bytes < UNLIMITED_BYTES);
        Self {
            cpus: cpus.into_iter().chain(cpus_v1).next(),
            quota_cpus: quota.into_iter().chain(quota_v1).reduce(f64::min),
            memory_bytes: memory.min(),
        }
    }
}

/// The group of this process in the tree of a controller; the empty name is version 2.
fn group_of<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = controllers.split(',').any(|name| name == controller);
        (ours && !group.contains("..")).then_some(group)
    })
}

/// What is found in the group and every one above it, from the inside out.
fn upwards<T>(top: &str, group: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let mut found = Vec::new();
    let mut group = group.trim_end_matches('/');
    loop {
        found.extend(read(&format!("{top}{group}")));
        match group.rfind('/') {
            Some(end) => group = &group[..end],
            None => return found,
        }
    }
}

fn cpu_list(root: &Root, at: &str, name: &str) -> Option<CpuList> {
    let list: CpuList = root.text(&format!("{at}/{name}"))?.parse().ok()?;
    (!list.is_empty()).then_some(list)
}

/// `max 100000`, or quota and period in microseconds.
fn quota_v2(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    share(quota.parse().ok()?, period.trim().parse().ok()?)
}

fn share(quota_us: u64, period_us: u64) -> Option<f64> {
    if period_us == 0 { None } else { Some(quota_us as f64 / period_us as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeRoot;

    #[test]
    fn the_tightest_limit_of_version_2_counts() {
        let fake = FakeRoot::new();
        fake.file("/proc/self/cgroup", "0::/pod/main\n");
        fake.file("/sys/fs/cgroup/cpu.max", "max 100000\n");
        fake.file("/sys/fs/cgroup/pod/cpu.max", "400000 100000\n");
        fake.file("/sys/fs/cgroup/pod/main/cpu.max", "250000 100000\n");
        fake.file("/sys/fs/cgroup/pod/memory.max", "1073741824\n");
        fake.file("/sys/fs/cgroup/pod/main/memory.max", "max\n");
        fake.file("/sys/fs/cgroup/pod/main/cpuset.cpus.effective", "2-5\n");
        fake.file("/sys/fs/cgroup/cpuset.cpus.effective", "0-7\n");
        let limits = CgroupLimits::read(&fake.root());
        assert_eq!(limits.quota_cpus, Some(2.5));
        assert_eq!(limits.memory_bytes, Some(1 << 30));
        assert_eq!(limits.cpus, Some("2-5".parse().unwrap()));
    }

    #[test]
    fn version_1_is_read_per_controller() {
        let fake = FakeRoot::new();
        fake.file("/proc/self/cgroup", "4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n");
        fake.file("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
        fake.file("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "536870912\n");
        fake.file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        fake.file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        fake.file("/sys/fs/cgroup/cpuset/cpuset.effective_cpus", "0-1\n");
        let limits = CgroupLimits::read(&fake.root());
        assert_eq!(limits.memory_bytes, Some(512 << 20));
        assert_eq!(limits.quota_cpus, None);
        assert_eq!(limits.cpus, Some("0-1".parse().unwrap()));
    }

    #[test]
    fn without_control_groups_nothing_is_known() {
        assert_eq!(CgroupLimits::read(&FakeRoot::new().root()), CgroupLimits::default());
    }
}
