//! Having the kernel begin to write dirty pages to the disk, without waiting until it has.

use std::fs::File;

/// Starts writeback of the bytes from `offset` on, `length` of them or all for 0. It's a hint: a
/// later fsync finds less to do. Errors are left for that fsync to report.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "no crate here has a safe wrapper of sync_file_range"
)]
pub(super) fn start(file: &File, offset: u64, length: u64) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else {
        return;
    };
    // SAFETY: the descriptor is open as long as `file` is borrowed, and no memory is passed.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset,
            length,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}

/// Elsewhere the fsync does it all.
#[cfg(not(target_os = "linux"))]
pub(super) fn start(_: &File, _: u64, _: u64) {}
