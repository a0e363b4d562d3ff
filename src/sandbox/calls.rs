//! seccomp: system calls that an upload server never makes are refused.
//!
//! **A list of what is refused, and not of what is allowed.** Which calls a program makes is the C
//! library's choice as well, and changes with it: a list of what is allowed would one day take the
//! service down for an update of something else. So `refused.rs` names what an intruder would
//! want. What is newer than it knows is answered as by an older kernel, with ENOSYS: no call that
//! Linux gets later has to be thought of, and libraries do without it as they do there. (That also
//! closes a second set of numbers for all calls, which x86-64 has for programs of another kind.)
//!
//! **Refused, and not killed for.** What is refused gets EPERM, so that a slip in the list costs one
//! upload or one line in the log, and not everybody's.
//!
//! The kernel finds out once for each call whether the filter always allows it, and then asks no
//! more: reading, writing, accepting, opening and linking cost nothing here. Calls whose arguments
//! decide run the filter each time.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter, sock_filter,
};

use super::Wall;
use super::refused::{ALWAYS, CLONE3, NEWEST, sometimes};

/// Where the kernel's description of a call has its number.
const CALL_AT: u32 = 0;

/// Refuses them for this thread, and those that it starts.
pub(super) fn restrict() -> Wall {
    let restricted = refusing().map_err(Error::Backend).and_then(|refusing| {
        apply_filter(&unknown())?;
        apply_filter(&refusing)
    });
    match restricted {
        Ok(()) => Wall::Whole,
        Err(error) => Wall::Missing(format!("seccomp: {error}")),
    }
}

/// Refuses what is on the list.
fn refusing() -> Result<BpfProgram, BackendError> {
    // Without a rule, a call matches whatever its arguments are.
    let always = ALWAYS.iter().copied().flatten();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        always.map(|call| (*call, Vec::new())).collect();
    for when in sometimes(std::process::id()) {
        let condition = SeccompCondition::new(when.argument, when.length, when.is, when.value)?;
        let rule = SeccompRule::new(vec![condition])?;
        rules.entry(when.call).or_default().push(rule);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let processor = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, refused, processor)?.try_into()
}

/// Answers what isn't known here like a kernel that doesn't know it either.
fn unknown() -> BpfProgram {
    let step = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).expect("all codes are small"),
        jt,
        jf,
        k,
    };
    let number = |call| u32::try_from(call).expect("all numbers are small");
    // Where a jump is taken, it passes over so many steps.
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, CALL_AT),
        step(libc::BPF_JMP | libc::BPF_JGT, 2, 0, number(NEWEST)),
        step(libc::BPF_JMP | libc::BPF_JEQ, 1, 0, number(CLONE3)),
        step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(
            libc::BPF_RET,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
    ]
}
