//! NVMe controllers and their links.

use super::root::Root;
use serde::Serialize;

const CLASS: &str = "/sys/class/nvme";

/// A controller.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NvmeController {
    /// Name that the kernel gave it at this start.
    pub name: String,
    /// Model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware revision.
    pub firmware: Option<String>,
    /// `pcie`, `tcp`, `rdma`...
    pub transport: Option<String>,
    /// Address on the bus or network.
    pub address: Option<String>,
    /// `live`, `resetting`, `dead`...
    pub state: Option<String>,
    /// Its NUMA node.
    pub numa_node: Option<u64>,
    /// I/O queues, and the one for administration.
    pub queue_count: Option<u64>,
    /// Entries of a submission queue, less one.
    pub queue_entries: Option<u64>,
    /// Link to the bus.
    pub link: Option<Link>,
    /// Temperature, in thousandths of a degree Celsius.
    pub temperature_millidegrees: Option<u64>,
}

/// Speed and width of a PCIe link.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Link {
    /// Transfers a second and lane in 10^9, as it runs now.
    pub gigatransfers: f64,
    /// The most that the device can.
    pub gigatransfers_max: f64,
    /// Lanes in use.
    pub lanes: u64,
    /// The most that the device has.
    pub lanes_max: u64,
}

impl Link {
    /// Whether it runs slower or narrower than the device can. In practice this is the most
    /// frequent fault of drives in servers.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.lanes < self.lanes_max || self.gigatransfers < self.gigatransfers_max
    }
}

impl NvmeController {
    pub(super) fn read_all(root: &Root) -> Vec<Self> {
        root.numbered(CLASS, "nvme").into_iter().map(|(_, name)| Self::read(root, name)).collect()
    }

    fn read(root: &Root, name: String) -> Self {
        let word = |file: &str| root.word(&format!("{CLASS}/{name}/{file}"));
        let number = |file: &str| root.number(&format!("{CLASS}/{name}/{file}"));
        Self {
            model: word("model"),
            serial: word("serial"),
            firmware: word("firmware_rev"),
            transport: word("transport"),
            address: word("address"),
            state: word("state"),
            numa_node: number("numa_node").or_else(|| number("device/numa_node")),
            queue_count: number("queue_count"),
            queue_entries: number("sqsize"),
            link: link(root, &format!("{CLASS}/{name}/device")),
            temperature_millidegrees: temperature(root, &format!("{CLASS}/{name}")),
            name,
        }
    }
}

fn link(root: &Root, device: &str) -> Option<Link> {
    // Such as `16.0 GT/s PCIe`.
    let speed = |file: &str| {
        let text = root.word(&format!("{device}/{file}"))?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    let lanes = |file: &str| root.number(&format!("{device}/{file}"));
    Some(Link {
        gigatransfers: speed("current_link_speed")?,
        gigatransfers_max: speed("max_link_speed")?,
        lanes: lanes("current_link_width")?,
        lanes_max: lanes("max_link_width")?,
    })
}

fn temperature(root: &Root, base: &str) -> Option<u64> {
    let sensors = root.numbered(base, "hwmon");
    sensors.iter().find_map(|(_, sensor)| root.number(&format!("{base}/{sensor}/temp1_input")))
}
