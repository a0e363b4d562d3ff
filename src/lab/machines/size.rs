//! How large a file of type 2 is, where programs don't agree on how that is said.
//!
//! Behind the `02`, some put one byte of length, some four, and the earliest task none at all: its
//! file ends with the stream. So the bytes are held until only one reading fits:
//!
//! ```text
//!   02 05 h e l l o             one byte says 5, and 5 follow
//!   02 05 00 00 00 h e l l o    one byte says 5, but 9 follow; four bytes say 5, and 5 follow
//!   02 h e l l o                one byte says 104, four say 1,819,043,176: nothing fits
//! ```
//!
//! It can go wrong: the four bytes `02 03 00 00` may be a file of three bytes of which one is still
//! to come, or the beginning of a longer length. A protocol that says what it is spares its readers
//! this page.

/// How a file's size is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One byte of length.
    OneByte,
    /// Four bytes of length.
    FourBytes,
    /// Not at all: the file ends with the stream.
    ToEnd,
}

impl Form {
    /// Bytes of length.
    pub(super) fn width(self) -> usize {
        match self {
            Form::OneByte => 1,
            Form::FourBytes => 4,
            Form::ToEnd => 0,
        }
    }
}

/// Which forms a task knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forms {
    /// A length of one or four bytes.
    Sized,
    /// The same, where the name had a length of its own, so that four bytes are likelier.
    RatherFour,
    /// The same, where the name had none, so that the shortest length is likelier.
    RatherOne,
    /// Four bytes that fit exactly, or else bytes to the end of the stream.
    ToEnd,
}

/// What is known besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// More may follow at once.
    Bytes,
    /// None have come for a moment.
    Silence,
    /// None will come.
    End,
}

/// A length above this is rather the text of a file, read as a number.
const PLAUSIBLE_MOST: u64 = 256 << 20;
/// With so many bytes beyond what one byte can say, it is no such file with a little rubbish behind.
const RUBBISH_MOST: usize = 260;
/// So few bytes may be as many as their first four say without that being their length.
const CHANCE_MOST: usize = 1024;
/// The largest file that is held while it may turn out to have four bytes of length or none. The
/// first bytes of most files say, read as a length, so much that nothing is held.
const HELD_MOST: usize = 1 << 20;

/// How what is held compares to what a length in it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// Bytes of the length are missing.
    NoLength,
    /// Bytes of the file are missing.
    Short,
    /// The file ends where the bytes do.
    Exact,
    /// The file ends, and this follows.
    Over(Next),
}

/// What follows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A zero, as the rest of a longer length has.
    Zero,
    /// What may be another name, or a goodbye.
    Message,
    Other,
}

/// The form that fits, once only one does.
pub(super) fn decide(held: &[u8], forms: Forms, evidence: Evidence) -> Option<Form> {
    if forms == Forms::ToEnd {
        return four_or_to_end(held, evidence == Evidence::End);
    }
    let (one, four) = (fit(held, 1), fit(held, 4));
    // A file that begins with zeros looks like the rest of a longer length.
    if forms == Forms::RatherOne && one == Fit::Over(Next::Message) && four != Fit::Short {
        return (four != Fit::NoLength || evidence != Evidence::Bytes).then_some(Form::OneByte);
    }
    if four == Fit::Exact {
        return Some(Form::FourBytes);
    }
    let four_is_plausible = said(held, 4).is_some_and(|size| size <= PLAUSIBLE_MOST);
    match (one, four) {
        (Fit::NoLength, _) => None,
        // More of it may come; at the end of the stream, it is a file that is cut off.
        (Fit::Short, _) => (evidence == Evidence::End).then_some(Form::OneByte),
        // A file that begins with zeros, or a longer one that is still to come.
        (Fit::Exact, Fit::Short) if forms == Forms::RatherFour && held[1..4] == [0, 0, 0] => {
            (evidence == Evidence::End).then_some(Form::FourBytes)
        }
        (Fit::Exact, _) => (evidence != Evidence::Bytes).then_some(Form::OneByte),
        // A length of four that is cut off, since it goes on like one.
        (Fit::Over(Next::Zero), Fit::NoLength) => {
            (evidence == Evidence::End).then_some(Form::FourBytes)
        }
        (Fit::Over(_), Fit::NoLength) => (evidence != Evidence::Bytes).then_some(Form::OneByte),
        (Fit::Over(_), Fit::Over(_) | Fit::Exact) => Some(Form::FourBytes),
        // Another message follows, a name or a goodbye; or a byte of the file looks like one.
        (Fit::Over(Next::Message), Fit::Short) if !four_is_plausible => Some(Form::OneByte),
        (Fit::Over(Next::Zero | Next::Other), Fit::Short) if four_is_plausible => {
            Some(Form::FourBytes)
        }
        (Fit::Over(_), Fit::Short) if held.len() > usize::from(held[0]) + RUBBISH_MOST => {
            Some(Form::FourBytes)
        }
        (Fit::Over(_), Fit::Short) => (evidence != Evidence::Bytes).then_some(Form::OneByte),
    }
}

/// The same for a file that ends with the stream, unless its first four bytes say where it ends.
fn four_or_to_end(held: &[u8], is_end: bool) -> Option<Form> {
    let size = said(held, 4).and_then(|size| usize::try_from(size).ok());
    let Some(size) = size else {
        return (is_end || held.len() >= 4).then_some(Form::ToEnd);
    };
    let have = held.len() - 4;
    if size > HELD_MOST || have > size {
        Some(Form::ToEnd)
    } else if have == size && (is_end || held.len() > CHANCE_MOST) {
        // What has come so far may fit by chance, as four zeros do; hardly so when it is much.
        Some(Form::FourBytes)
    } else {
        is_end.then_some(Form::ToEnd)
    }
}

/// The size that a length of so many bytes says.
pub(super) fn said(held: &[u8], width: usize) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(held.get(..width)?);
    Some(u64::from_le_bytes(bytes))
}

fn fit(held: &[u8], width: usize) -> Fit {
    let Some(size) = said(held, width) else {
        return Fit::NoLength;
    };
    let file = &held[width..];
    match usize::try_from(size) {
        Ok(size) if size < file.len() => Fit::Over(next(&file[size..])),
        Ok(size) if size == file.len() => Fit::Exact,
        _ => Fit::Short,
    }
}

fn next(rest: &[u8]) -> Next {
    match rest {
        [0, ..] => Next::Zero,
        // A name with a length of two bytes, and one without.
        [1, length, 0, ..] if *length > 0 => Next::Message,
        [1, text @ ..] if text.iter().all(|byte| *byte >= b' ') => Next::Message,
        _ => Next::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn four(file: &[u8]) -> Vec<u8> {
        let size = u32::try_from(file.len()).expect("it is short");
        [&size.to_le_bytes()[..], file].concat()
    }

    fn one(file: &[u8]) -> Vec<u8> {
        let size = u8::try_from(file.len()).expect("it is short");
        [&[size], file].concat()
    }

    /// What is decided when the bytes come in these pieces, and then silence, and then the end.
    fn in_pieces(bytes: &[u8], cuts: &[usize], forms: Forms) -> Option<Form> {
        let pieces = cuts.iter().copied().chain([bytes.len()]);
        pieces
            .map(|end| decide(&bytes[..end], forms, Evidence::Bytes))
            .chain([Evidence::Silence, Evidence::End].map(|now| decide(bytes, forms, now)))
            .find_map(|form| form)
    }

    #[test]
    fn the_examples_of_the_page_are_told_apart() {
        let sized = |bytes: &[u8]| decide(bytes, Forms::Sized, Evidence::Silence);
        assert_eq!(sized(b"\x05hello"), Some(Form::OneByte));
        assert_eq!(sized(b"\x05\0\0\0hello"), Some(Form::FourBytes));
        assert_eq!(sized(b"hello"), None);
        let to_end = |bytes: &[u8]| decide(bytes, Forms::ToEnd, Evidence::End);
        assert_eq!(to_end(b"hello"), Some(Form::ToEnd));
        assert_eq!(to_end(b"\x05hello"), Some(Form::ToEnd));
        assert_eq!(to_end(b"\x05\0\0\0hello"), Some(Form::FourBytes));
        assert_eq!(to_end(b""), Some(Form::ToEnd));
    }

    #[test]
    fn a_goodbye_or_a_name_behind_a_short_file_is_not_part_of_it() {
        let both = [one(b"hello"), b"\x01QUIT".to_vec()].concat();
        assert_eq!(
            decide(&both, Forms::Sized, Evidence::Bytes),
            Some(Form::OneByte)
        );
        let empty = [one(b""), b"\x01QUIT".to_vec()].concat();
        assert_eq!(
            decide(&empty, Forms::Sized, Evidence::Bytes),
            Some(Form::OneByte)
        );
        let both = [four(b"hello"), b"\x01next".to_vec()].concat();
        assert_eq!(
            decide(&both, Forms::Sized, Evidence::Bytes),
            Some(Form::FourBytes)
        );
    }

    #[test]
    fn zeros_and_another_message_are_no_longer_length_behind_a_name_without_one() {
        for size in 0..20 {
            for next in [&b"\x01QUIT"[..], b"\x01x", b"\x01ab"] {
                let held = [one(&vec![0; size]), next.to_vec()].concat();
                let form = decide(&held, Forms::RatherOne, Evidence::Silence);
                assert_eq!(form, Some(Form::OneByte), "{size} {next:?}");
            }
        }
    }

    #[test]
    fn a_file_to_the_end_that_begins_with_a_fitting_length_is_not_cut_there() {
        for evidence in [Evidence::Bytes, Evidence::Silence] {
            assert_eq!(decide(&[0; 4], Forms::ToEnd, evidence), None);
        }
        let more = decide(&[0; 5], Forms::ToEnd, Evidence::Bytes);
        assert_eq!(more, Some(Form::ToEnd));
    }

    #[test]
    fn a_file_to_the_end_is_held_only_while_its_first_bytes_may_be_its_length() {
        let to_end = |bytes: &[u8], evidence| decide(bytes, Forms::ToEnd, evidence);
        assert_eq!(to_end(b"hell", Evidence::Bytes), Some(Form::ToEnd));
        for size in [1, 300, 300_000, 1 << 20] {
            let whole = four(&vec![7; size]);
            let (short, end) = (&whole[..whole.len() - 1], Evidence::End);
            assert_eq!(to_end(short, Evidence::Silence), None, "{size}");
            assert_eq!(to_end(short, end), Some(Form::ToEnd), "{size}");
            assert_eq!(to_end(&whole, end), Some(Form::FourBytes), "{size}");
        }
    }

    #[test]
    fn rubbish_behind_a_short_file_is_no_length() {
        let bytes = [one(b"hello"), b"\n".to_vec()].concat();
        assert_eq!(
            decide(&bytes, Forms::Sized, Evidence::Silence),
            Some(Form::OneByte)
        );
    }

    #[test]
    fn a_large_file_with_four_bytes_of_length_is_known_by_its_first_segment() {
        for size in [300u32, 65_536, 16 << 20, 1 << 30] {
            let held = [&size.to_le_bytes()[..], &[b'x'; 1400]].concat();
            assert_eq!(
                decide(&held, Forms::Sized, Evidence::Bytes),
                Some(Form::FourBytes),
                "{size}"
            );
        }
    }

    proptest! {
        /// Text has no byte that could be the high end of a plausible length.
        #[test]
        fn short_texts_are_found_however_they_come(text in "[ -~]{0,255}", cuts in prop::collection::vec(0usize..256, 0..5)) {
            for (bytes, form) in [(one(text.as_bytes()), Form::OneByte), (four(text.as_bytes()), Form::FourBytes)] {
                let mut cuts: Vec<_> = cuts.iter().copied().filter(|cut| *cut < bytes.len()).collect();
                cuts.sort_unstable();
                prop_assert_eq!(in_pieces(&bytes, &cuts, Forms::Sized), Some(form));
                prop_assert_eq!(in_pieces(&bytes, &cuts, Forms::RatherOne), Some(form));
            }
        }

        #[test]
        fn anything_is_decided_in_the_end_and_held_in_bounds(bytes in prop::collection::vec(any::<u8>(), 1..2000), forms in prop::sample::select(vec![Forms::Sized, Forms::RatherFour, Forms::RatherOne, Forms::ToEnd])) {
            prop_assert!(decide(&bytes, forms, Evidence::End).is_some());
            let sized_is_late = forms != Forms::ToEnd && bytes.len() > 256 + RUBBISH_MOST;
            prop_assert!(!sized_is_late || decide(&bytes, forms, Evidence::Bytes).is_some());
        }
    }
}
