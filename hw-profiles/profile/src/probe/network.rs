//! Network interfaces that have a device below them.

use super::root::Root;
use serde::Serialize;

const CLASS: &str = "/sys/class/net";
/// The kernel counts in megabits.
const BYTES_PER_MEGABIT: u64 = 125_000;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkInterface {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: Option<String>,
    /// Address on the bus.
    pub bus_address: Option<String>,
    /// Speed of the link; unknown while it is down, and on many virtual machines.
    pub bytes_per_sec: Option<u64>,
    /// Largest packet.
    pub mtu_bytes: Option<u64>,
    /// `up`, `down`...
    pub state: Option<String>,
    /// Its NUMA node.
    pub numa_node: Option<u64>,
    /// Receive queues.
    pub receive_queues: usize,
    /// Transmit queues.
    pub transmit_queues: usize,
}

impl NetworkInterface {
    pub(super) fn read_all(root: &Root) -> Vec<Self> {
        let names = root.names(CLASS).into_iter();
        names
            .filter(|name| root.exists(&format!("{CLASS}/{name}/device")))
            .map(|name| Self::read(root, name))
            .collect()
    }

    fn read(root: &Root, name: String) -> Self {
        let base = format!("{CLASS}/{name}");
        let queues = root.names(&format!("{base}/queues"));
        let count = |prefix: &str| queues.iter().filter(|queue| queue.starts_with(prefix)).count();
        let megabits = root.number(&format!("{base}/speed")).filter(|speed| *speed > 0);
        Self {
            driver: root.resolved_name(&format!("{base}/device/driver")),
            bus_address: root.resolved_name(&format!("{base}/device")),
            bytes_per_sec: megabits.and_then(|speed| speed.checked_mul(BYTES_PER_MEGABIT)),
            mtu_bytes: root.number(&format!("{base}/mtu")),
            state: root.word(&format!("{base}/operstate")),
            numa_node: root.number(&format!("{base}/device/numa_node")),
            receive_queues: count("rx-"),
            transmit_queues: count("tx-"),
            name,
        }
    }
}
