//! Which system calls are refused, and the one number behind which none is known.

use libc::c_long;
use seccompiler::SeccompCmpArgLen::{self, Dword, Qword};
use seccompiler::SeccompCmpOp::{self, MaskedEq, Ne};

/// The newest call that is known here, of Linux 6.10. All systems number them alike from 424 on.
pub(super) const NEWEST: c_long = libc::SYS_mseal;

/// Starts threads, and processes too; its flags lie in memory, where no filter can look. A C library
/// that gets ENOSYS takes [`libc::SYS_clone`], whose flags can be looked at.
pub(super) const CLONE3: c_long = libc::SYS_clone3;

/// Two whose numbers the crate doesn't have for all systems.
const FCHMODAT2: c_long = 452;
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: c_long = 320;
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: c_long = 294;

/// And what it lacks of those that say who owns a descriptor.
const F_SETOWN_EX: i32 = 15;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;

/// Refused whatever their arguments are.
pub(super) const ALWAYS: &[&[c_long]] = &[
    // Other programs.
    &[libc::SYS_execve, libc::SYS_execveat],
    // Sockets: all that are needed are there, and further ones come from an accept.
    &[
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
    ],
    // Other processes: their memory, their descriptors, signals to them.
    &[
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_process_mrelease,
        libc::SYS_kcmp,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_move_pages,
        libc::SYS_migrate_pages,
    ],
    // Users, rights and name spaces.
    &[
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_personality,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
    ],
    // Files by their path, as far as Landlock lets them be changed; the store has them open.
    &[
        libc::SYS_fchmodat,
        FCHMODAT2,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        libc::SYS_truncate,
        libc::SYS_mknodat,
        libc::SYS_symlinkat,
        libc::SYS_open_by_handle_at,
        libc::SYS_memfd_create,
        libc::SYS_memfd_secret,
        libc::SYS_fanotify_init,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
    ],
    // What is mounted.
    &[
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_swapon,
        libc::SYS_swapoff,
    ],
    // The kernel and the machine. The first of them are where its own faults are looked for.
    &[
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        KEXEC_FILE_LOAD,
        libc::SYS_reboot,
        libc::SYS_acct,
        libc::SYS_syslog,
        libc::SYS_vhangup,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_lookup_dcookie,
        libc::SYS_nfsservctl,
    ],
    // Ways to talk to other processes that nobody uses any more.
    &[
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_msgget,
        libc::SYS_msgsnd,
        libc::SYS_msgrcv,
        libc::SYS_msgctl,
        libc::SYS_semget,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_semctl,
        libc::SYS_mq_open,
        libc::SYS_mq_unlink,
    ],
    OLD,
];

/// What only x86-64 has: others' forerunners, and its own.
#[cfg(target_arch = "x86_64")]
const OLD: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_symlink,
    libc::SYS_mknod,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(target_arch = "aarch64")]
const OLD: &[c_long] = &[];

/// Refused where one argument, counted from 0, is like this.
pub(super) struct Sometimes {
    pub(super) call: c_long,
    pub(super) argument: u8,
    pub(super) length: SeccompCmpArgLen,
    pub(super) is: SeccompCmpOp,
    pub(super) value: u64,
}

/// Those of a process with this number.
pub(super) fn sometimes(process: u32) -> Vec<Sometimes> {
    let of = |call, argument, length, is, value| Sometimes {
        call,
        argument,
        length,
        is,
        value,
    };
    let bits = |bits: i32| u64::from(bits.unsigned_abs());
    let (thread, run) = (bits(libc::CLONE_THREAD), bits(libc::PROT_EXEC));
    let mut all = vec![
        // A process that is not a thread of this one.
        of(libc::SYS_clone, 0, Qword, MaskedEq(thread), 0),
        // A datagram to an address: what goes to a connected socket has none.
        of(libc::SYS_sendto, 4, Qword, Ne, 0),
        of(libc::SYS_socketpair, 0, Dword, Ne, bits(libc::AF_UNIX)),
        // Memory that can be run. All code is there.
        of(libc::SYS_mmap, 2, Qword, MaskedEq(run), run),
        of(libc::SYS_mprotect, 2, Qword, MaskedEq(run), run),
        of(libc::SYS_pkey_mprotect, 2, Qword, MaskedEq(run), run),
        // The time of a file by its path; that of an open one has none.
        of(libc::SYS_utimensat, 1, Qword, Ne, 0),
        // Signals to other processes, and their limits. A thread may end its own by one.
        of(libc::SYS_tgkill, 0, Dword, Ne, process.into()),
        of(libc::SYS_prlimit64, 0, Dword, Ne, 0),
    ];
    // A descriptor tells of what comes by a signal, whichever was asked for, to its owner: nobody
    // else becomes one.
    for command in [libc::F_SETOWN, F_SETOWN_EX] {
        all.push(of(
            libc::SYS_fcntl,
            1,
            Dword,
            SeccompCmpOp::Eq,
            bits(command),
        ));
    }
    // A program that runs as whoever owns it, not as who starts it.
    for mode in [libc::S_ISUID, libc::S_ISGID].map(u64::from) {
        all.push(of(libc::SYS_fchmod, 1, Dword, MaskedEq(mode), mode));
    }
    // The owner once more; and typing for the person at the terminal that it was started from.
    // (It is a number of 32 bits, whatever the C library takes it for.)
    let typing = [libc::TIOCSTI, libc::TIOCLINUX]
        .map(|request| u64::from(u32::try_from(request).unwrap_or_default()));
    for request in [FIOSETOWN, SIOCSPGRP].into_iter().chain(typing) {
        all.push(of(libc::SYS_ioctl, 1, Dword, SeccompCmpOp::Eq, request));
    }
    all
}
