//! Presets: published figures of types of machines and drives, inside the program.
//!
//! Invariants: a preset has a source for every figure (`provenance.rs` refuses it otherwise, and a
//! test reads them all); an unknown machine gets `generic` with a loud warning, never a silent
//! guess; a preset that names a product is for that product only.

use crate::error::ProfileError;
use crate::file::Profile;
use crate::glob;
use crate::plan::class_of;
use crate::probe::Machine;
use std::path::Path;

/// A preset as a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Name of the file, without `.toml`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Name of the one for unknown machines.
const GENERIC: &str = "generic";
/// For trials on loop and virtual drives; never chosen for a machine, because it has no figures and
/// the servers of others have virtual drives, too.
const TRIAL: &str = "dev-loop";

/// All of them; `generic` is the last that is tried.
pub static PRESETS: &[Preset] = &[
    Preset { name: "aws-i3en", text: include_str!("../../aws-i3en.toml") },
    Preset { name: "aws-i4i", text: include_str!("../../aws-i4i.toml") },
    Preset { name: "aws-i7ie", text: include_str!("../../aws-i7ie.toml") },
    Preset { name: "aws-im4gn", text: include_str!("../../aws-im4gn.toml") },
    Preset { name: "aws-is4gen", text: include_str!("../../aws-is4gen.toml") },
    Preset { name: "azure-lsv3", text: include_str!("../../azure-lsv3.toml") },
    Preset { name: "gcp-c3d-lssd", text: include_str!("../../gcp-c3d-lssd.toml") },
    Preset { name: "gcp-z3", text: include_str!("../../gcp-z3.toml") },
    Preset { name: "nvme-enterprise", text: include_str!("../../nvme-enterprise.toml") },
    Preset { name: TRIAL, text: include_str!("../../dev-loop.toml") },
    Preset { name: GENERIC, text: include_str!("../../generic.toml") },
];

/// The preset of that name.
///
/// # Errors
/// Where there is none.
pub fn preset(name: &str) -> Result<Profile, ProfileError> {
    let found = PRESETS.iter().find(|preset| preset.name == name);
    let found = found.ok_or_else(|| ProfileError::UnknownPreset {
        name: name.to_owned(),
        known: PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "),
    })?;
    let file = format!("preset {name}");
    Profile::parse(Path::new(&file), found.text)
}

/// The preset for a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct PresetChoice {
    /// It.
    pub profile: Profile,
    /// Whether it is for this machine or one of its drives; `generic` is for those nobody knows.
    pub is_known: bool,
    /// What a person must know; there is always something, because nothing was measured here.
    pub warning: String,
}

/// The first preset that is for this product and has a class for one of the drives in use; else
/// `generic`.
///
/// # Errors
/// None that a build with valid presets has.
pub fn choose_preset(machine: &Machine) -> Result<PresetChoice, ProfileError> {
    for one in PRESETS.iter().filter(|one| ![GENERIC, TRIAL].contains(&one.name)) {
        let profile = preset(one.name)?;
        if fits(&profile, machine) {
            let warning = format!(
                "preset {} is used: its figures are published ones and were not measured on this \
                 machine",
                one.name
            );
            return Ok(PresetChoice { profile, is_known: true, warning });
        }
    }
    let models: Vec<&str> = machine
        .devices_in_use()
        .into_iter()
        .filter_map(|name| machine.device(name)?.model.as_deref())
        .collect();
    let models = if models.is_empty() { "of unknown model".to_owned() } else { models.join(", ") };
    let warning = format!(
        "THIS MACHINE IS UNKNOWN: no profile was given and no preset fits (product {}, drives \
         {models}), so `generic` is used. No data is less safe for it, but what these drives can \
         is a guess: `basalt profile measure --out FILE DRIVE...` finds out",
        machine.system.product.as_deref().unwrap_or("unknown")
    );
    Ok(PresetChoice { profile: preset(GENERIC)?, is_known: false, warning })
}

fn fits(profile: &Profile, machine: &Machine) -> bool {
    let agrees = |pattern: &Option<String>, found: &Option<String>| match (pattern, found) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(pattern), Some(found)) => glob::matches(pattern, found),
    };
    let facts = &profile.machine;
    let system = &machine.system;
    let devices = machine.devices_in_use();
    let known = |name: &&str| {
        machine.device(name).is_some_and(|device| class_of(profile, device).is_some())
    };
    agrees(&facts.vendor, &system.vendor)
        && agrees(&facts.product, &system.product)
        && devices.iter().any(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProfileSource;
    use crate::testing::FakeRoot;

    #[test]
    fn every_preset_is_valid_and_says_that_it_is_one() {
        for one in PRESETS {
            let profile = preset(one.name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(profile.profile.name, one.name);
            assert_eq!(profile.profile.source, ProfileSource::Preset);
            assert!(profile.profile.notes.is_some(), "{}: no notes", one.name);
        }
        let error = preset("aws-i9").unwrap_err().to_string();
        assert!(error.contains("aws-i9") && error.contains("aws-i4i"), "{error}");
    }

    #[test]
    fn the_product_tells_cloud_drives_of_one_model_apart() {
        let read_iops = |product: &str| {
            let fake = FakeRoot::new();
            fake.file("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
            fake.file("/sys/class/dmi/id/product_name", product);
            fake.nvme(0, "nvme.1d0f-00");
            fake.file("/sys/class/nvme/nvme0/model", "Amazon EC2 NVMe Instance Storage\n");
            fake.file("/sys/block/nvme0n1/size", "7324218750\n");
            let machine = crate::probe(&fake.root(), &[]);
            let choice = choose_preset(&machine).unwrap();
            let class = class_of(&choice.profile, machine.device("nvme0n1").unwrap()).cloned();
            (choice.profile.profile.name, class.and_then(|class| class.published?.read_iops))
        };
        assert_eq!(read_iops("i4i.8xlarge"), ("aws-i4i".to_owned(), Some(400_000)));
        assert_eq!(read_iops("im4gn.2xlarge"), ("aws-im4gn".to_owned(), Some(125_000)));
        assert_eq!(read_iops("x9.large"), ("generic".to_owned(), None));
    }

    #[test]
    fn an_unknown_machine_is_warned_of_loudly() {
        let fake = FakeRoot::new();
        fake.nvme(0, "eui.00");
        let choice = choose_preset(&crate::probe(&fake.root(), &[])).unwrap();
        assert_eq!((choice.profile.profile.name.as_str(), choice.is_known), ("generic", false));
        assert!(choice.warning.starts_with("THIS MACHINE IS UNKNOWN"), "{}", choice.warning);
        assert!(choice.warning.contains("Fast SSD"), "{}", choice.warning);
    }
}
