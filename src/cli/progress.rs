//! How a sending is shown: a bar on a terminal, lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use piecemeal::client::{Anew, Failure, Item, Progress, Retry};
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
        let bar = ProgressBar::new(total_size(items));
        // What matters most stands first, and 50 columns have room for all of it.
        let template = "{msg} {bar:8} {percent}% {binary_bytes_per_sec} {eta} left";
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

    /// That of a stream: nobody knows how much is to come.
    pub(super) fn of_a_stream() -> Bar {
        let bar = ProgressBar::new_spinner();
        let template = "{spinner} {binary_bytes} {binary_bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar {
            bar,
            files: 1,
            done: 0,
        }
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

/// The bytes of what will be sent: a folder has a size too, and is not.
fn total_size(items: &[Item]) -> u64 {
    let facts = items
        .iter()
        .filter_map(|item| std::fs::metadata(&item.path).ok());
    facts
        .filter(|facts| facts.is_file())
        .map(|facts| facts.len())
        .sum()
}

impl Progress for Bar {
    fn moved(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn taken_back(&mut self, bytes: u64) {
        self.bar.dec(bytes);
    }

    fn resumed(&mut self, _: &Item, offset: u64) {
        self.bar.inc(offset);
        // What was sent by another try says nothing of how fast this one is.
        self.bar.reset_eta();
    }

    fn anew(&mut self, item: &Item, why: Anew) {
        self.bar.suspend(|| tell(anew_line(item, why)));
    }

    fn retrying(&mut self, retry: &Retry<'_>) {
        self.bar.suspend(|| tell(retry_line(retry)));
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
    fn anew(&mut self, item: &Item, why: Anew) {
        OnlyTrouble.anew(item, why);
    }

    fn retrying(&mut self, retry: &Retry<'_>) {
        OnlyTrouble.retrying(retry);
    }

    fn stored(&mut self, item: &Item, receipt: &Receipt) {
        // A stream has no name here, and a folder may be called otherwise.
        let renamed = if item.path.ends_with(&receipt.name) {
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

/// Nothing but a line for each try that follows another.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnlyTrouble;

impl Progress for OnlyTrouble {
    fn anew(&mut self, item: &Item, why: Anew) {
        tell(anew_line(item, why));
    }

    fn retrying(&mut self, retry: &Retry<'_>) {
        tell(retry_line(retry));
    }
}

fn anew_line(item: &Item, why: Anew) -> String {
    format!(
        "piecemeal: {}: {why}; it is sent from its start",
        path(item)
    )
}

fn retry_line(retry: &Retry<'_>) -> String {
    let of = retry
        .item
        .map_or_else(String::new, |item| format!("{}: ", path(item)));
    format!(
        "piecemeal: {of}{}; trying again in {:.1} s ({} of {})",
        retry.why,
        retry.wait.as_secs_f64(),
        retry.number,
        retry.of
    )
}

/// An item's path as people may see it.
fn path(item: &Item) -> String {
    escaped(item.path.as_os_str().as_encoded_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_what_is_missing_have_no_size() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let file = home.path().join("file");
        std::fs::write(&file, "bytes").expect("the folder is there");
        let items = [home.path().to_owned(), home.path().join("missing"), file].map(|path| Item {
            path,
            name: String::new(),
        });
        assert_eq!(total_size(&items), 5);
    }
}
