//! A short text that is equal on machines of one kind, to notice a profile of another machine.
//!
//! Invariants: it depends on CPU model and number, on the model, firmware and size of the physical
//! drives with their number, and on nothing else: not on the kernel, names, order or serial
//! numbers. How it is made is a persistent format; a test with a known answer freezes it.

use crate::probe::Machine;
use std::collections::BTreeMap;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Such as `fnv1a:0123456789abcdef`.
#[must_use]
pub fn fingerprint(machine: &Machine) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut drives: BTreeMap<String, usize> = BTreeMap::new();
    for device in machine.devices.iter().filter(|device| device.kind.is_physical()) {
        let (model, firmware) = (known(&device.model), known(&device.firmware));
        let bytes = device.capacity_bytes.unwrap_or(0);
        *drives.entry(format!("{model}|{firmware}|{bytes}")).or_default() += 1;
    }
    let mut lines = format!("cpu {}|{}\n", known(&machine.cpus.model), machine.cpus.online.len());
    for (drive, count) in drives {
        lines.push_str(&format!("drive {drive}|{count}\n"));
    }
    format!("fnv1a:{:016x}", fnv1a(lines.as_bytes()))
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_has_the_published_test_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_machine_without_facts_is_frozen() {
        let text = fingerprint(&Machine::default());
        assert_eq!(text, format!("fnv1a:{:016x}", fnv1a(b"cpu |0\n")));
    }
}
