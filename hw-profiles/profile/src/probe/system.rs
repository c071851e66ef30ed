//! Kernel, product, hypervisor, container.

use super::cpu::field;
use super::root::Root;
use serde::Serialize;

/// What runs below this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct System {
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Manufacturer, as DMI says it.
    pub vendor: Option<String>,
    /// Product, as DMI says it.
    pub product: Option<String>,
    /// Hypervisor; `none` on bare metal.
    pub virtualisation: Option<String>,
    /// Container runtime.
    pub container: Option<String>,
    /// Clock source in use.
    pub clocksource: Option<String>,
    /// 0: io_uring for all; 1: for a group; 2: for nobody. Kernels before 6.6 do not say.
    pub io_uring_disabled: Option<u64>,
}

const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Words of manufacturer or product that name a hypervisor or cloud.
const HYPERVISORS: &[(&str, &str)] = &[
    ("Amazon EC2", "amazon"),
    ("Google", "google"),
    ("Microsoft Corporation", "hyper-v"),
    ("VMware", "vmware"),
    ("VirtualBox", "virtualbox"),
    ("OpenStack", "openstack"),
    ("KVM", "kvm"),
    ("QEMU", "qemu"),
    ("Xen", "xen"),
];

impl System {
    pub(super) fn read(root: &Root) -> Self {
        let vendor = root.word("/sys/class/dmi/id/sys_vendor");
        let product = root.word("/sys/class/dmi/id/product_name");
        Self {
            kernel: root.word("/proc/sys/kernel/osrelease"),
            virtualisation: virtualisation(root, vendor.as_deref(), product.as_deref()),
            container: container(root),
            clocksource: root.word(CLOCKSOURCE),
            io_uring_disabled: root.number("/proc/sys/kernel/io_uring_disabled"),
            vendor,
            product,
        }
    }
}

fn virtualisation(root: &Root, vendor: Option<&str>, product: Option<&str>) -> Option<String> {
    let cpuinfo = root.text("/proc/cpuinfo").unwrap_or_default();
    let flags = field(&cpuinfo, "flags", ':');
    let is_guest = flags.map(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    if is_guest == Some(false) {
        return Some("none".to_owned());
    }
    let said = format!("{} {}", vendor.unwrap_or(""), product.unwrap_or(""));
    let known = HYPERVISORS.iter().find(|(word, _)| said.contains(*word));
    let named = known.map(|(_, name)| (*name).to_owned());
    // ARM has no such flag: there the product is all there is.
    let unnamed = (is_guest == Some(true)).then(|| "unknown hypervisor".to_owned());
    named.or_else(|| root.word("/sys/hypervisor/type")).or(unnamed)
}

fn container(root: &Root) -> Option<String> {
    let markers = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
    let marked = markers.iter().find(|(path, _)| root.exists(path));
    root.word("/run/systemd/container").or_else(|| marked.map(|(_, name)| (*name).to_owned()))
}
