//! RAM, and how much of it this process may have.

use super::block::chosen;
use super::cgroup::CgroupLimits;
use super::cpu::field;
use super::root::Root;
use serde::Serialize;

/// RAM of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it.
    pub total_bytes: Option<u64>,
    /// What the control group allows.
    pub limit_bytes: Option<u64>,
    /// Mode of transparent huge pages.
    pub transparent_hugepage: Option<String>,
}

impl Memory {
    pub(super) fn read(root: &Root) -> Self {
        let meminfo = root.text("/proc/meminfo").unwrap_or_default();
        let pages = root.word("/sys/kernel/mm/transparent_hugepage/enabled");
        Self {
            total_bytes: field(&meminfo, "MemTotal", ':').and_then(kib_to_bytes),
            limit_bytes: CgroupLimits::read(root).memory_bytes,
            transparent_hugepage: pages.map(|text| chosen(&text).to_owned()),
        }
    }

    /// What this process may have: the smaller of both.
    #[must_use]
    pub fn usable_bytes(&self) -> Option<u64> {
        self.total_bytes.into_iter().chain(self.limit_bytes).min()
    }
}

/// `8388608 kB` in bytes.
pub(super) fn kib_to_bytes(text: &str) -> Option<u64> {
    let kib: u64 = text.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
