//! A machine as text, for people: what was found, and `unknown` where it was not.

use crate::probe::{BlockDevice, DrivePlace, Link, Machine, NetworkInterface, NvmeController};
use std::fmt::{self, Display, Formatter};

const GIB: f64 = (1u64 << 30) as f64;

fn known<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

fn bytes(value: Option<u64>) -> String {
    known(value.map(|bytes| format!("{:.1} GiB", bytes as f64 / GIB)))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Display for Machine {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let system = &self.system;
        let vendor = known(system.vendor.as_ref());
        writeln!(out, "machine  {vendor}, product {}", known(system.product.as_ref()))?;
        let virtualisation = known(system.virtualisation.as_ref());
        let container = system.container.as_deref().unwrap_or("none");
        let kernel = known(system.kernel.as_ref());
        let clock = known(system.clocksource.as_ref());
        writeln!(out, "  kernel {kernel}, clock {clock}")?;
        writeln!(out, "  hypervisor {virtualisation}, container {container}")?;
        cpus(self, out)?;
        for device in &self.devices {
            write!(out, "{device}")?;
        }
        for controller in &self.controllers {
            write!(out, "{controller}")?;
        }
        for nic in &self.nics {
            write!(out, "{nic}")?;
        }
        for drive in &self.drives {
            write!(out, "{drive}")?;
        }
        Ok(())
    }
}

fn cpus(machine: &Machine, out: &mut Formatter<'_>) -> fmt::Result {
    let cpus = &machine.cpus;
    let memory = &machine.memory;
    writeln!(out, "cpu      {}", known(cpus.model.as_ref()))?;
    let (cores, sockets) = (cpus.cores.len(), known(cpus.sockets));
    writeln!(out, "  online {}, {cores} cores, {sockets} sockets", cpus.online)?;
    let quota = cpus.quota_cpus.map_or_else(|| "no".to_owned(), |quota| format!("{quota:.2} CPUs"));
    writeln!(out, "  allowed {}, quota {quota}", cpus.allowed)?;
    writeln!(out, "  governor {}", known(cpus.governor.as_ref()))?;
    for node in &cpus.nodes {
        writeln!(out, "  node {}: CPUs {}, {}", node.id, node.cpus, bytes(node.memory_bytes))?;
    }
    let limit = memory.limit_bytes.map_or_else(|| "none".to_owned(), |limit| bytes(Some(limit)));
    writeln!(out, "memory   {}, limit {limit}", bytes(memory.total_bytes))
}

impl Display for BlockDevice {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let model = known(self.model.as_ref());
        writeln!(out, "device   {} {model}, {}", self.name, bytes(self.capacity_bytes))?;
        writeln!(out, "  wwid {}", known(self.identity.as_ref()))?;
        let queue = |name: &str| known(self.queue.text(name));
        let firmware = known(self.firmware.as_ref());
        writeln!(out, "  firmware {firmware}, node {}", known(self.numa_node))?;
        let (logical, physical) = (queue("logical_block_size"), queue("physical_block_size"));
        writeln!(out, "  blocks {logical} logical, {physical} physical bytes")?;
        let (largest, cache) = (known(self.queue.io_bytes_max()), queue("write_cache"));
        writeln!(out, "  largest request {largest} bytes, cache {cache}")?;
        let scheduler = queue("scheduler");
        let queues = self.hardware_queues.len();
        writeln!(out, "  scheduler {scheduler}, {queues} hardware queues")?;
        writeln!(out, "  partitions {}", listed(&self.partitions))?;
        writeln!(out, "  mounted at {}", listed(&self.mount_points))?;
        writeln!(out, "  holders {}", listed(&self.holders))
    }
}

impl Display for NvmeController {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let model = known(self.model.as_ref());
        writeln!(out, "nvme     {} {model}, state {}", self.name, known(self.state.as_ref()))?;
        let temperature = self.temperature_millidegrees.map(|value| value / 1000);
        let link = known(self.link);
        writeln!(out, "  link {link}, {} degrees Celsius", known(temperature))
    }
}

impl Display for Link {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} GT/s x{}", self.gigatransfers, self.lanes)?;
        if self.is_degraded() {
            write!(out, " of {} GT/s x{}", self.gigatransfers_max, self.lanes_max)?;
        }
        Ok(())
    }
}

impl Display for NetworkInterface {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let speed = known(self.bytes_per_sec);
        let driver = known(self.driver.as_ref());
        writeln!(out, "network  {} {driver}, {speed} bytes a second", self.name)?;
        let (receive, transmit) = (self.receive_queues, self.transmit_queues);
        writeln!(out, "  queues {receive} receive, {transmit} transmit")
    }
}

impl Display for DrivePlace {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "drive    {}", self.path)?;
        writeln!(out, "  wwid {}", known(self.identity.as_ref()))?;
        let chain =
            if self.chain.is_empty() { "unknown".to_owned() } else { self.chain.join(" on ") };
        let file_system = self.file_system.as_deref().unwrap_or("none");
        writeln!(out, "  devices {chain}, file system {file_system}")?;
        for note in &self.notes {
            writeln!(out, "  note: {note}")?;
        }
        Ok(())
    }
}
