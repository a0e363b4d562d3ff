//! How a sending is shown: a bar on a terminal, lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use piecemeal::client::{Failure, Item, Progress};
use piecemeal::proto::Receipt;
use piecemeal::proto::text::escaped;

use super::tell;
use super::units::show_size;

/// A bar over all files, with speed and time left.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    files: usize,
    done: usize,
}

impl Bar {
    pub(super) fn new(items: &[Item]) -> Bar {
        let sizes = items
            .iter()
            .filter_map(|item| std::fs::metadata(&item.path).ok());
        let bar = ProgressBar::new(sizes.map(|facts| facts.len()).sum());
        let template = "{wide_bar} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let mut bar = Bar {
            bar,
            files: items.len(),
            done: 0,
        };
        bar.show_count();
        bar
    }

    fn file_done(&mut self) {
        self.done += 1;
        self.show_count();
    }

    fn show_count(&mut self) {
        self.bar
            .set_message(format!("{}/{} files", self.done, self.files));
    }
}

impl Progress for Bar {
    fn moved(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn stored(&mut self, _: &Item, _: &Receipt) {
        self.file_done();
    }

    fn failed(&mut self, _: &Failure) {
        self.file_done();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A line for each file that is stored. Failures get theirs at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

impl Progress for Plain {
    fn stored(&mut self, item: &Item, receipt: &Receipt) {
        let renamed = if item.name == receipt.name {
            String::new()
        } else {
            format!(" as {}", escaped(&receipt.name))
        };
        let path = escaped(item.path.as_os_str().as_encoded_bytes());
        let durable = if receipt.durable { "" } else { ", not durable" };
        tell(format_args!(
            "stored {path}{renamed} ({}{durable})",
            show_size(receipt.size)
        ));
    }
}
