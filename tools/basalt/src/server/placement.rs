//! Which thread runs on which CPU, and which shard owns which drive.
//!
//! Invariants: a pure function; a setting is stronger than the profile, and the profile than the
//! defaults; no thread is pinned to a CPU that this process may not use; every shard owns a drive;
//! drives that nobody has given a shard go to those with the fewest.

use hw_profile::{CpuList, Plan};

/// What the settings say; None leaves it to the profile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Threads that own drives.
    pub shards: Option<usize>,
    /// Threads that serve S3.
    pub gateways: Option<usize>,
    /// Drives of the node.
    pub drive_count: usize,
}

/// Threads, their CPUs and their drives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Shard threads.
    pub shards: usize,
    /// The CPU of each; empty: they are not pinned.
    pub shard_cpus: Vec<usize>,
    /// Gateway threads.
    pub gateways: usize,
    /// The CPU of each; empty: they are not pinned.
    pub gateway_cpus: Vec<usize>,
    /// CPUs of the control thread and of helpers; empty: all.
    pub control_cpus: Vec<usize>,
    /// The shard of each drive, in the order of the drives.
    pub drive_shards: Vec<usize>,
    /// Why the profile is not kept to, one sentence each.
    pub warnings: Vec<String>,
    /// Where settings are stronger than the profile, one sentence each.
    pub remarks: Vec<String>,
}

/// Places threads and drives. `allowed` are the CPUs of this process; without any nothing is
/// pinned.
pub fn place(wanted: &Wanted, plan: &Plan, allowed: &[usize]) -> Placement {
    let mut placement = Placement::default();
    place_shards(&mut placement, wanted, plan, allowed);
    let cpus = usable("layout.gateway_cpus", &plan.gateway_cpus, allowed, &mut placement.warnings);
    let cpus: Vec<usize> = cpus.into_iter().map(|(_, cpu)| cpu).collect();
    note_contradiction(&mut placement.remarks, "gateways", wanted.gateways, cpus.len());
    let default = if cpus.is_empty() { allowed.len().max(1) } else { cpus.len() };
    placement.gateways = wanted.gateways.unwrap_or(default);
    placement.gateway_cpus = dealt(&cpus, allowed, placement.gateways);
    let cpus = usable("layout.control_cpus", &plan.control_cpus, allowed, &mut placement.warnings);
    placement.control_cpus = cpus.into_iter().map(|(_, cpu)| cpu).collect();
    placement
}

/// The CPUs of a list that can be used, each with its place in the list.
fn usable(
    field: &str,
    cpus: &CpuList,
    allowed: &[usize],
    warnings: &mut Vec<String>,
) -> Vec<(usize, usize)> {
    let numbered = cpus.iter().filter_map(|cpu| usize::try_from(cpu).ok()).enumerate();
    let (kept, dropped): (Vec<_>, Vec<_>) = numbered.partition(|(_, cpu)| allowed.contains(cpu));
    if !dropped.is_empty() {
        let numbers = dropped.iter().filter_map(|(_, cpu)| u32::try_from(*cpu).ok());
        let dropped: CpuList = numbers.collect();
        let rest = if kept.is_empty() { "the default is kept" } else { "the others are used" };
        warnings.push(format!(
            "`{field}` of the profile names CPUs that this process may not use ({dropped}): {rest}"
        ));
    }
    kept
}

/// The CPU of each of so many threads: those of the profile in turn, or all that are allowed where
/// there is a choice at all.
fn dealt(cpus: &[usize], allowed: &[usize], count: usize) -> Vec<usize> {
    let from = match cpus {
        [] if allowed.len() > 1 => allowed,
        cpus => cpus,
    };
    from.iter().copied().cycle().take(count).collect()
}

fn note_contradiction(
    remarks: &mut Vec<String>,
    setting: &str,
    wanted: Option<usize>,
    in_profile: usize,
) {
    if let Some(wanted) = wanted.filter(|wanted| in_profile > 0 && *wanted != in_profile) {
        remarks.push(format!(
            "the setting `{setting}` is {wanted}, the profile has CPUs for {in_profile}: the \
             setting holds"
        ));
    }
}

fn place_shards(placement: &mut Placement, wanted: &Wanted, plan: &Plan, allowed: &[usize]) {
    let named = usable("layout.shard_cpus", &plan.shard_cpus, allowed, &mut placement.warnings);
    note_contradiction(&mut placement.remarks, "shards", wanted.shards, named.len());
    let default = allowed.len().max(1).min(wanted.drive_count);
    let count = match wanted.shards {
        Some(shards) => shards.min(wanted.drive_count),
        None if named.is_empty() => default,
        None => named.len(),
    };
    let count = count.max(1);
    // A shard whose CPU cannot be used is none: its drives go to another.
    let shard_named = |number: u32| {
        let number = usize::try_from(number).unwrap_or(0);
        named.iter().position(|(place, _)| *place == number).unwrap_or(number) % count
    };
    let mut owners = deal_drives(wanted.drive_count, count, |index| {
        plan.drives.get(index).and_then(|drive| drive.shard).map(shard_named)
    });
    if wanted.shards.is_some() && !idle_shards(&owners, count).is_empty() {
        placement.remarks.push(format!(
            "by the profile some of the {count} shards would own no drive: the setting `shards` \
             holds, and drives are dealt out in turn"
        ));
        owners = deal_drives(wanted.drive_count, count, |_| None);
    }
    let cpus: Vec<usize> = named.iter().map(|(_, cpu)| *cpu).collect();
    let mut cpus = dealt(&cpus, allowed, count);
    let idle = idle_shards(&owners, count);
    if !idle.is_empty() {
        // Where the profile names no CPUs, nobody has asked for these.
        if !named.is_empty() {
            placement.warnings.push(left_out(&idle, count));
        }
        for owner in &mut owners {
            let before = *owner;
            *owner -= idle.iter().filter(|shard| **shard < before).count();
        }
        cpus = without(&cpus, &idle);
    }
    placement.shards = count - idle.len();
    placement.shard_cpus = cpus;
    placement.drive_shards = owners;
}

/// The shard of each drive: the one it is given, else the one with the fewest drives, of equal ones
/// the first.
fn deal_drives(
    drive_count: usize,
    count: usize,
    given: impl Fn(usize) -> Option<usize>,
) -> Vec<usize> {
    let given: Vec<Option<usize>> = (0..drive_count).map(given).collect();
    let mut loads = vec![0usize; count];
    for shard in given.iter().flatten() {
        loads[*shard] += 1;
    }
    let mut choose = || {
        let fewest = (0..count).min_by_key(|shard| loads[*shard]).unwrap_or(0);
        loads[fewest] += 1;
        fewest
    };
    given.into_iter().map(|shard| shard.unwrap_or_else(&mut choose)).collect()
}

/// Shards that own no drive, where there are drives at all.
fn idle_shards(owners: &[usize], count: usize) -> Vec<usize> {
    (0..count).filter(|shard| !owners.is_empty() && !owners.contains(shard)).collect()
}

fn without(cpus: &[usize], idle: &[usize]) -> Vec<usize> {
    let kept = cpus.iter().enumerate().filter(|(shard, _)| !idle.contains(shard));
    kept.map(|(_, cpu)| *cpu).collect()
}

fn left_out(idle: &[usize], count: usize) -> String {
    let numbers: Vec<String> = idle.iter().map(usize::to_string).collect();
    format!(
        "by the profile the shards {} of {count} own no drive: they are not started, and those \
         behind them move up",
        numbers.join(", ")
    )
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
