//! Landlock: which files are within reach, whoever they belong to.
//!
//! What it can't refuse: looking at a file's size, owner and time, and changing owner, mode, time
//! and attributes; `calls.rs` refuses those that change something. A descriptor that is open stays
//! as good as it was.

use std::error::Error;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};

use super::{Access, Place, Wall};
use crate::proto::text::escaped;

/// The newest that this was tried with. What a later kernel could refuse besides is not asked for:
/// it would be refused untried.
const NEWEST: ABI = ABI::V7;

/// Restricts this thread, and those that it starts.
pub(super) fn restrict(places: &[Place]) -> Wall {
    match try_to(places) {
        Ok(status) => wall(&status.ruleset, status.landlock),
        // It names a path, as it is.
        Err(error) => {
            let error = error.to_string();
            Wall::Missing(format!("Landlock: {}", escaped(error.as_bytes())))
        }
    }
}

fn try_to(places: &[Place]) -> Result<RestrictionStatus, Box<dyn Error>> {
    let mut ruleset = Ruleset::default()
        // Before Linux 5.19 nothing may be moved or linked from one folder into another, which a
        // store has to do: then rather none of it.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        // Nothing is bound or connected any more, so no port is allowed below.
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for place in places {
        let folder = match PathFd::new(&place.path) {
            Ok(folder) => folder,
            Err(_) if [Access::Read, Access::Remove].contains(&place.access) => continue,
            Err(error) => return Err(error.into()),
        };
        let rights = rights(place.access, place.path.is_dir());
        ruleset = ruleset.add_rule(PathBeneath::new(folder, rights))?;
    }
    Ok(ruleset.restrict_self()?)
}

fn rights(access: Access, is_folder: bool) -> BitFlags<AccessFs> {
    use AccessFs::{
        MakeDir, MakeReg, ReadDir, ReadFile, Refer, RemoveDir, RemoveFile, Truncate, WriteFile,
    };
    match access {
        // A folder is opened, too, to be synced.
        Access::Append => ReadFile | ReadDir | WriteFile | Truncate | MakeReg,
        Access::Store => rights(Access::Append, true) | MakeDir | RemoveFile | RemoveDir | Refer,
        Access::Read if is_folder => ReadFile | ReadDir,
        Access::Read => ReadFile.into(),
        Access::Remove => RemoveFile.into(),
    }
}

fn wall(ruleset: &RulesetStatus, landlock: LandlockStatus) -> Wall {
    match (ruleset, landlock) {
        (RulesetStatus::FullyEnforced, _) => Wall::Whole,
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Wall::Part(format!(
                "this kernel's Landlock has version {effective_abi}, and all of it needs 6 (Linux 6.12)"
            ))
        }
        (_, LandlockStatus::Available { .. }) => Wall::Missing(
            "this kernel's Landlock can't allow files to be moved (Linux 5.19 can)".into(),
        ),
        (_, LandlockStatus::NotEnabled) => {
            Wall::Missing("Landlock is not enabled in this kernel".into())
        }
        (_, LandlockStatus::NotImplemented) => {
            Wall::Missing("this kernel has no Landlock, or a container hides it".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_executed_anywhere_and_no_symbolic_link_or_device_is_made() {
        for access in [Access::Store, Access::Append, Access::Read, Access::Remove] {
            let rights = rights(access, true);
            assert!(!rights.contains(AccessFs::Execute), "{access:?}");
            assert!(!rights.contains(AccessFs::MakeSym), "{access:?}");
            assert!(!rights.contains(AccessFs::MakeBlock), "{access:?}");
        }
    }

    #[test]
    fn an_older_kernel_has_part_of_it_or_none() {
        let of = |effective_abi| LandlockStatus::Available {
            effective_abi,
            kernel_abi: None,
        };
        assert_eq!(
            wall(&RulesetStatus::FullyEnforced, of(ABI::V6)),
            Wall::Whole
        );
        let part = wall(&RulesetStatus::PartiallyEnforced, of(ABI::V2));
        assert!(matches!(part, Wall::Part(why) if why.contains("version 2")));
        for (landlock, why) in [
            (of(ABI::V1), "5.19"),
            (LandlockStatus::NotEnabled, "not enabled"),
            (LandlockStatus::NotImplemented, "has no Landlock"),
        ] {
            let none = wall(&RulesetStatus::NotEnforced, landlock);
            assert!(matches!(none, Wall::Missing(text) if text.contains(why)));
        }
    }
}
