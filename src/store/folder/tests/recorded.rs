//! Stores that have a journal: who has an OK is in it.

use super::*;
use crate::store::journal::Entry;

/// A journal beside the folder, and what stands in it.
struct Book {
    home: tempfile::TempDir,
}

impl Book {
    fn new() -> Book {
        Book {
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    fn opened_for(&self, shelf: &Shelf) {
        let journal = Journal::open(&self.home.path().join("journal")).expect("it opens");
        shelf.store.set_journal(journal);
    }

    /// Name, size, whether it has a digest, sender, and whether it was there already.
    fn lines(&self) -> Vec<(String, u64, bool, Option<String>, bool)> {
        let text = fs::read_to_string(self.home.path().join("journal")).expect("a file");
        let lines = text.lines().filter(|line| !line.is_empty());
        let entries = lines.map(|line| Entry::parse(line).expect("an entry"));
        entries
            .map(|entry| {
                let peer = entry.peer.as_deref().map(str::to_owned);
                let has_digest = entry.digest().is_some();
                (
                    entry.name.into_owned(),
                    entry.size,
                    has_digest,
                    peer,
                    entry.found,
                )
            })
            .collect()
    }
}

#[test]
fn each_file_that_is_stored_has_a_line_with_its_sender_before_that_is_reported() {
    for mut shelf in Shelf::of_each_kind() {
        let book = Book::new();
        book.opened_for(&shelf);
        let order = with_digest("a", b"12345");
        let mut upload = shelf.begin(&order).expect("it begins");
        shelf.store.write(&mut upload, b"12345").expect("room");
        shelf.store.set_sender(&mut upload, &"192.0.2.7:1");
        let seal = Seal {
            size: 5,
            digest: order.digest,
        };
        shelf.store.commit(upload, seal, KEY);
        assert!(matches!(shelf.done(), Done::Stored(KEY, Ok(_))));
        let sender = Some("192.0.2.7:1".to_owned());
        let first = ("a".to_owned(), 5, true, sender, false);
        assert_eq!(book.lines(), std::slice::from_ref(&first));
        shelf.put(&named("b"), b"1").expect("stored");
        shelf.put(&named("b"), b"2").expect_err("it exists");
        let second = ("b".to_owned(), 1, false, None, false);
        assert_eq!(book.lines(), [first, second], "what is refused has none");
    }
}

#[test]
fn a_file_that_was_stored_without_a_line_gets_one_when_it_is_sent_again() {
    for mut shelf in Shelf::of_each_kind() {
        let order = with_digest("a", b"12345");
        shelf.put(&order, b"12345").expect("stored");
        // As if the server had died between the name and the line.
        let book = Book::new();
        book.opened_for(&shelf);
        shelf.put(&order, b"12345").expect("it is the same");
        let line = ("a".to_owned(), 5, true, None, true);
        assert_eq!(book.lines(), std::slice::from_ref(&line));
        shelf.put(&order, b"12345").expect("it is the same");
        assert_eq!(book.lines(), [line], "one line is enough");
    }
}
