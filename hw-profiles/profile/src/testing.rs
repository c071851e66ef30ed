//! A /sys and /proc of one's own, for unit tests.

use crate::{Profile, Root};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory in the place of `/`, removed on drop.
pub(crate) struct FakeRoot(PathBuf);

impl FakeRoot {
    /// An empty one.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hw-profile-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// What the code under test gets.
    pub(crate) fn root(&self) -> Root {
        Root::below(&self.0)
    }

    /// Where a path of the fake really is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let whole = self.path(path);
        std::fs::create_dir_all(whole.parent().unwrap()).unwrap();
        std::fs::write(whole, text).unwrap();
    }

    /// Makes a directory.
    pub(crate) fn directory(&self, path: &str) {
        std::fs::create_dir_all(self.path(path)).unwrap();
    }

    /// Makes a relative link from one path of the fake to another. No directory above `path` may
    /// be a link itself.
    pub(crate) fn link(&self, path: &str, to: &str) {
        let whole = self.path(path);
        std::fs::create_dir_all(whole.parent().unwrap()).unwrap();
        let depth = path.matches('/').count() - 1;
        let relative = format!("{}{}", "../".repeat(depth), to.trim_start_matches('/'));
        std::os::unix::fs::symlink(relative, whole).unwrap();
    }

    /// What a file holds, without white space around it.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap().trim().to_owned()
    }

    /// CPUs `0..count` on one node, two threads a core, all allowed.
    pub(crate) fn cpus(&self, count: u32) {
        let all = format!("0-{}\n", count - 1);
        self.file("/sys/devices/system/cpu/online", &all);
        self.file("/sys/devices/system/node/node0/cpulist", &all);
        self.file("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:  1024 kB\n");
        self.file("/proc/self/status", &format!("Name: test\nCpus_allowed_list:\t{all}"));
        for cpu in 0..count {
            let topology = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
            let first = cpu / 2 * 2;
            let siblings = format!("{first}-{}\n", (first + 1).min(count - 1));
            self.file(&format!("{topology}/thread_siblings_list"), &siblings);
            self.file(&format!("{topology}/physical_package_id"), "0\n");
        }
    }

    /// A drive `nvmeNn1` of 10^12 bytes, model `Fast SSD`, firmware `F1`, device `259:8N`.
    pub(crate) fn nvme(&self, number: u32, wwid: &str) {
        let bus = format!("/sys/devices/pci0000:00/0000:00:0{number}.0");
        for (file, text) in [
            ("current_link_speed", "16.0 GT/s PCIe"),
            ("max_link_speed", "16.0 GT/s PCIe"),
            ("current_link_width", "4"),
            ("max_link_width", "4"),
            ("numa_node", "0"),
        ] {
            self.file(&format!("{bus}/{file}"), text);
        }
        let controller = format!("{bus}/nvme/nvme{number}");
        for (file, text) in [
            ("model", "Fast SSD                 "),
            ("serial", "S1"),
            ("firmware_rev", "F1      "),
            ("transport", "pcie"),
            ("state", "live"),
            ("queue_count", "9"),
            ("sqsize", "1023"),
            ("hwmon3/temp1_input", "41850"),
        ] {
            self.file(&format!("{controller}/{file}"), text);
        }
        self.link(&format!("{controller}/device"), &bus);
        self.link(&format!("/sys/class/nvme/nvme{number}"), &controller);
        let device = format!("{controller}/nvme{number}n1");
        self.block(&device, &format!("259:{}", number * 8));
        self.file(&format!("{device}/wwid"), wwid);
        self.link(&format!("{device}/device"), &controller);
    }

    /// A device without a bus: `loop0`, `dm-0`, `md0`.
    pub(crate) fn virtual_block(&self, name: &str, number: &str) {
        self.block(&format!("/sys/devices/virtual/block/{name}"), number);
    }

    /// A partition `DISKpN` of an NVMe drive that is there already.
    pub(crate) fn partition(&self, drive: u32, partition: u32) {
        let name = format!("nvme{drive}n1p{partition}");
        let bus = format!("/sys/devices/pci0000:00/0000:00:0{drive}.0");
        let device = format!("{bus}/nvme/nvme{drive}/nvme{drive}n1/{name}");
        self.file(&format!("{device}/partition"), &partition.to_string());
        let number = format!("259:{}", drive * 8 + partition);
        self.file(&format!("{device}/dev"), &number);
        self.link(&format!("/sys/class/block/{name}"), &device);
        self.link(&format!("/sys/dev/block/{number}"), &device);
        self.file(&format!("/dev/{name}"), "");
    }

    fn block(&self, device: &str, number: &str) {
        let name = device.rsplit('/').next().unwrap();
        for (file, text) in [
            ("size", "1953125000"),
            ("ro", "0"),
            ("queue/scheduler", "none [mq-deadline] bfq"),
            ("queue/nomerges", "0"),
            ("queue/rq_affinity", "1"),
            ("queue/logical_block_size", "512"),
            ("queue/physical_block_size", "4096"),
            ("queue/max_sectors_kb", "128"),
            ("queue/write_cache", "write back"),
            ("mq/0/cpu_list", "0, 1"),
            ("mq/10/cpu_list", "3"),
            ("mq/2/cpu_list", "2"),
        ] {
            self.file(&format!("{device}/{file}"), text);
        }
        self.file(&format!("{device}/dev"), number);
        self.directory(&format!("{device}/slaves"));
        self.directory(&format!("{device}/holders"));
        self.link(&format!("/sys/block/{name}"), device);
        self.link(&format!("/sys/class/block/{name}"), device);
        self.link(&format!("/sys/dev/block/{number}"), device);
    }
}

impl Drop for FakeRoot {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A valid profile with these sections after its header.
pub(crate) fn profile(sections: &str) -> Profile {
    let head = "schema = 1\n[profile]\nname = \"test\"\nsource = \"manual\"\n\
                created = \"2026-11-30\"\n";
    Profile::parse(Path::new("test.toml"), &format!("{head}{sections}"))
        .unwrap_or_else(|error| panic!("{error}"))
}
