//! The first free name of many: the numbers that a policy of renaming gives, and random ones.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::proto::Name;
use crate::store::Error;

/// How often another number, or another random name, is tried.
pub(super) const TRIES: u32 = 10_000;
/// How long a name all of whose numbers are taken is not tried again.
const FULL_REST: Duration = Duration::from_secs(2);
/// Names whose last numbers are remembered. When there are more, all are forgotten.
const NUMBERS: usize = 1024;

/// The numbers that names were given last, so that the thousandth `report.pdf` doesn't try the
/// first 999 again.
#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<Name, Numbered>);

/// What is known of a name's numbers.
#[derive(Debug)]
struct Numbered {
    next: u32,
    /// When none of them was free.
    full_at: Option<Instant>,
}

impl Numbers {
    pub(super) fn first_free(
        &mut self,
        name: &Name,
        place: impl FnMut(&str) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let known = self.0.get(name);
        // To find that out costs ten thousand calls, and anybody may ask for it with each upload.
        if known.is_some_and(|known| known.full_at.is_some_and(|at| at.elapsed() < FULL_REST)) {
            return Err(Error::Exists);
        }
        let first = known.map_or(2, |known| known.next);
        let mut next = first;
        // Lower numbers may have come free; they are tried last.
        let numbered = (first..TRIES).chain(2..first).filter_map(|number| {
            next = number + 1;
            name.numbered(number).map(|name| name.to_string())
        });
        let found = first_free(numbered, place);
        if self.0.len() >= NUMBERS {
            self.0.clear();
        }
        let full_at = matches!(found, Err(Error::Exists)).then(Instant::now);
        self.0.insert(name.clone(), Numbered { next, full_at });
        found
    }
}

/// The first of many names that is free.
pub(super) fn first_free(
    names: impl Iterator<Item = String>,
    mut place: impl FnMut(&str) -> Result<(), Error>,
) -> Result<String, Error> {
    for name in names {
        match place(&name) {
            Ok(()) => return Ok(name),
            Err(Error::Exists) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Exists)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::name::NameRules;
    use std::cell::RefCell;
    use std::collections::HashSet;

    /// It is a while since all of a name's numbers were taken.
    fn rested(numbers: &mut Numbers, name: &Name) {
        let known = numbers.0.get_mut(name).expect("it is known");
        known.full_at = known.full_at.and_then(|at| at.checked_sub(FULL_REST));
    }

    #[test]
    fn numbers_that_came_free_are_used_again_when_the_others_are_used_up() {
        let mut numbers = Numbers::default();
        let name = Name::parse("a", Default::default()).expect("a good name");
        let tries = RefCell::new(0);
        let taken = RefCell::new(HashSet::new());
        let place = |name: &str| {
            *tries.borrow_mut() += 1;
            let is_new = taken.borrow_mut().insert(name.to_owned());
            if is_new { Ok(()) } else { Err(Error::Exists) }
        };
        for number in 2..TRIES {
            let given = numbers.first_free(&name, place).expect("one is free");
            assert_eq!(given, format!("a ({number})"));
        }
        assert_eq!(*tries.borrow(), TRIES - 2, "none is tried twice");
        assert!(matches!(
            numbers.first_free(&name, place),
            Err(Error::Exists)
        ));
        rested(&mut numbers, &name);
        taken.borrow_mut().remove("a (7)");
        assert_eq!(
            numbers.first_free(&name, place).expect("one is free"),
            "a (7)"
        );
        taken.borrow_mut().clear();
        assert_eq!(
            numbers.first_free(&name, place).expect("all are free"),
            "a (8)"
        );
    }

    #[test]
    fn the_numbers_of_many_names_are_remembered_and_in_the_end_all_are_forgotten() {
        let mut numbers = Numbers::default();
        let name = |number: usize| {
            Name::parse(&format!("n{number}"), Default::default()).expect("a good name")
        };
        let tries = RefCell::new(0);
        let place = |_: &str| {
            *tries.borrow_mut() += 1;
            Ok(())
        };
        for number in 0..NUMBERS {
            let given = numbers
                .first_free(&name(number), place)
                .expect("it is free");
            assert_eq!(given, format!("n{number} (2)"));
            assert_eq!(numbers.0.len(), number + 1, "the others are remembered");
        }
        let given = numbers.first_free(&name(0), place).expect("it is free");
        assert_eq!((given.as_str(), numbers.0.len()), ("n0 (3)", 1));
        let given = numbers.first_free(&name(1), place).expect("it is free");
        assert_eq!(given, "n1 (2)", "it was forgotten");
    }

    #[test]
    fn a_name_all_of_whose_numbers_are_taken_is_not_tried_again_at_once() {
        let (mut numbers, mut tries) = (Numbers::default(), 0);
        let name = |name| Name::parse(name, NameRules::default()).expect("a good name");
        let mut ask = |name: &Name, is_free: bool| {
            let before = tries;
            let found = numbers.first_free(name, |_| {
                tries += 1;
                if is_free { Ok(()) } else { Err(Error::Exists) }
            });
            (found.ok(), tries - before)
        };
        let (full, other) = (name("a"), name("b"));
        assert_eq!(ask(&full, false), (None, TRIES - 2));
        assert_eq!(ask(&full, false), (None, 0));
        assert_eq!(ask(&other, true), (Some("b (2)".into()), 1), "others are");
        // One may have come free after a while.
        rested(&mut numbers, &full);
        let found = numbers.first_free(&full, |_| Ok(()));
        assert_eq!(found.ok(), Some("a (2)".into()));
    }
}
