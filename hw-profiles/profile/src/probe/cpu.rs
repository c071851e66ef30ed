//! CPUs: which are there, which this process may use, which are threads of one core.

use super::cgroup::CgroupLimits;
use super::root::Root;
use crate::CpuList;
use serde::Serialize;
use std::collections::BTreeSet;

const CPU: &str = "/sys/devices/system/cpu";
const NODE: &str = "/sys/devices/system/node";

/// The CPUs of the machine. An empty list is unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpus {
    /// Model name.
    pub model: Option<String>,
    /// Hardware threads that are online.
    pub online: CpuList,
    /// Those that this process may use: its affinity, within its cpuset.
    pub allowed: CpuList,
    /// Those that the kernel keeps free of ordinary work (`isolcpus`).
    pub isolated: CpuList,
    /// CPU time a second that the control group allows, in CPUs.
    pub quota_cpus: Option<f64>,
    /// The threads of each core.
    pub cores: Vec<CpuList>,
    /// Packages.
    pub sockets: Option<u32>,
    /// Frequency governor; several, parted by `+`, where CPUs differ.
    pub governor: Option<String>,
    /// NUMA nodes.
    pub nodes: Vec<NumaNode>,
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumaNode {
    /// Number.
    pub id: u32,
    /// CPUs.
    pub cpus: CpuList,
    /// RAM.
    pub memory_bytes: Option<u64>,
}

impl Cpus {
    /// What the machine says of them.
    #[must_use]
    pub fn read(root: &Root) -> Self {
        let limits = CgroupLimits::read(root);
        let online = list(root, &format!("{CPU}/online")).unwrap_or_default();
        let status = root.text("/proc/self/status").unwrap_or_default();
        let affinity = field(&status, "Cpus_allowed_list", ':')
            .and_then(|text| text.parse::<CpuList>().ok())
            .filter(|list| !list.is_empty());
        let allowed = affinity.or(limits.cpus).unwrap_or_else(|| online.clone());
        // The kernel counts CPUs in the mask that do not exist.
        let allowed = if online.is_empty() { allowed } else { allowed.common(&online) };
        let topology = |cpu: u32, name: &str| format!("{CPU}/cpu{cpu}/topology/{name}");
        let cores: BTreeSet<CpuList> = online
            .iter()
            .filter_map(|cpu| list(root, &topology(cpu, "thread_siblings_list")))
            .collect();
        let sockets: BTreeSet<u64> = online
            .iter()
            .filter_map(|cpu| root.number(&topology(cpu, "physical_package_id")))
            .collect();
        Self {
            model: model(&root.text("/proc/cpuinfo").unwrap_or_default()),
            isolated: list(root, &format!("{CPU}/isolated")).unwrap_or_default(),
            quota_cpus: limits.quota_cpus,
            cores: cores.into_iter().collect(),
            sockets: u32::try_from(sockets.len()).ok().filter(|count| *count > 0),
            governor: governor(root),
            nodes: nodes(root),
            online,
            allowed,
        }
    }

    /// The threads of the core that this CPU is on; only itself where that is unknown.
    #[must_use]
    pub fn siblings(&self, cpu: u32) -> CpuList {
        let core = self.cores.iter().find(|core| core.contains(cpu));
        core.cloned().unwrap_or_else(|| [cpu].into_iter().collect())
    }
}

fn list(root: &Root, path: &str) -> Option<CpuList> {
    root.text(path)?.parse().ok()
}

/// The value of the first line `name: value`.
pub(super) fn field<'a>(text: &'a str, name: &str, separator: char) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(separator)?;
        (found.trim() == name).then_some(value.trim())
    })
}

fn model(cpuinfo: &str) -> Option<String> {
    if let Some(name) = field(cpuinfo, "model name", ':') {
        return Some(name.to_owned());
    }
    // ARM has numbers instead of a name.
    let implementer = field(cpuinfo, "CPU implementer", ':')?;
    let part = field(cpuinfo, "CPU part", ':')?;
    Some(format!("ARM implementer {implementer} part {part}"))
}

fn governor(root: &Root) -> Option<String> {
    let policies = root.numbered(&format!("{CPU}/cpufreq"), "policy");
    let governors: BTreeSet<String> = policies
        .iter()
        .filter_map(|(_, policy)| root.word(&format!("{CPU}/cpufreq/{policy}/scaling_governor")))
        .collect();
    let governors: Vec<String> = governors.into_iter().collect();
    if governors.is_empty() { None } else { Some(governors.join("+")) }
}

fn nodes(root: &Root) -> Vec<NumaNode> {
    let node = |(id, name): (u32, String)| {
        let cpus = list(root, &format!("{NODE}/{name}/cpulist"))?;
        let memory = root.text(&format!("{NODE}/{name}/meminfo")).unwrap_or_default();
        let total = field(&memory, &format!("Node {id} MemTotal"), ':');
        Some(NumaNode { id, cpus, memory_bytes: total.and_then(super::memory::kib_to_bytes) })
    };
    root.numbered(NODE, "node").into_iter().filter_map(node).collect()
}
