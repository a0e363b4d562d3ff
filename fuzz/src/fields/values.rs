//! Values that were never text: written, and read back.

use piecemeal::proto::error::{Fault, Stalled};
use piecemeal::proto::fields::{FieldFault, number};
use piecemeal::proto::header::{self, Length};
use piecemeal::proto::{
    Answer, Conflict, Digest, End, Kind, Metadata, Put, Receipt, Reply, UploadId,
};

use super::super::input::{self, Input};
use super::super::plain::assert_line;

/// A text without a line's end: a name as a PUT can carry it.
fn one_line(input: &mut Input<'_>) -> String {
    input.text().replace('\n', "")
}

fn some<T>(input: &mut Input<'_>, value: T) -> Option<T> {
    (input.byte() & 1 == 1).then_some(value)
}

fn digest(input: &mut Input<'_>) -> Digest {
    let mut digest = [input.byte(); 32];
    digest[0] = input.byte();
    Digest(digest)
}

/// Values that were never text are written, and read back.
pub(super) fn put_and_end(input: &mut Input<'_>) {
    let name = one_line(input);
    let (size, digest) = (input.large(), digest(input));
    let (size, digest) = (some(input, size), some(input, digest));
    let end = End { size, digest };
    assert_eq!(End::parse(&end.to_string()), Ok(end));
    let mtime = input.large().cast_signed();
    let mode = u32::from(input.byte()) << 4 | u32::from(input.byte());
    let metadata = Metadata::of(mode, mtime);
    let put = Put {
        name,
        size,
        digest,
        explicit_end: input.byte() & 1 == 1,
        conflict: match input.byte() & 3 {
            0 => None,
            1 => Some(Conflict::Error),
            2 => Some(Conflict::Rename),
            _ => Some(Conflict::Overwrite),
        },
        metadata: if input.byte() & 1 == 1 {
            metadata
        } else {
            Metadata::default()
        },
        upload: UploadId::parse(&input.text()),
    };
    assert_eq!(Put::parse(&put.to_string()), Ok(put));
}

fn text_of(reply: &Reply) -> String {
    let mut out = Vec::new();
    reply.write(&mut out);
    let length = u16::from_le_bytes([out[1], out[2]]);
    assert_eq!((out[0], usize::from(length)), (1, out.len() - 3));
    String::from_utf8(out.split_off(3)).expect("a reply is text")
}

pub(super) fn replies(input: &mut Input<'_>) {
    let offset = input.large();
    let begun = Answer::parse(&text_of(&Reply::Begin { offset }));
    let (offset, receipt) = (Some(offset), None);
    assert_eq!(begun, Answer::Ok { offset, receipt });
    let digest = digest(input);
    let receipt = Receipt {
        name: one_line(input),
        size: input.large(),
        digest: some(input, digest),
        durable: input.byte() & 1 == 1,
    };
    let stored = Answer::parse(&text_of(&Reply::Receipt(receipt.clone())));
    let (offset, receipt) = (None, Some(receipt));
    assert_eq!(stored, Answer::Ok { offset, receipt });
    let said = input.text();
    let answer = Answer::parse(&text_of(&Reply::Message(said.clone())));
    assert_eq!(answer, Answer::Text(format!("Message: {said}")));
}

pub(super) fn faults(input: &mut Input<'_>) {
    let (kind, number) = (input.byte(), input.large());
    let fault = match kind % 14 {
        0 => Fault::BadType(input.byte()),
        1 => Fault::BadLength {
            length: number,
            limit: input.large(),
        },
        2 => Fault::BadFields(FieldFault::Twice { key: "key".into() }),
        3 => Fault::TooLarge { limit: number },
        4 => Fault::Quota { limit: number },
        5 => Fault::MinFree { limit: number },
        6 => Fault::Timeout(Stalled::Header),
        7 => Fault::Timeout(Stalled::Body),
        8 => Fault::Timeout(Stalled::Connection),
        9 => Fault::Busy { retry: number },
        10 => Fault::BusyAddress { retry: number },
        11 => Fault::Held { retry: number },
        12 => Fault::BadFields(FieldFault::BadValue {
            key: "size",
            value: input.text(),
            wants: "a number",
        }),
        _ => Fault::Unknown,
    };
    refusal(fault);
}

/// A fault reads back as a refusal with its code, its text and its facts, each on a plain line.
pub(super) fn refusal(fault: Fault) {
    let (code, text) = (fault.code(), fault.to_string());
    let retry = match fault {
        Fault::Busy { retry } | Fault::BusyAddress { retry } | Fault::Held { retry } => Some(retry),
        _ => None,
    };
    let reply = text_of(&Reply::Fault(fault));
    for line in reply.split('\n') {
        assert_line(line);
    }
    let Answer::Refused(refusal) = Answer::parse(&reply) else {
        panic!("{reply} is no refusal");
    };
    assert_eq!((refusal.code, refusal.retry), (Some(code), retry));
    assert_eq!((refusal.word.as_str(), refusal.text), (code.as_str(), text));
}

/// A length is written as short as can be, and read back from any pieces.
pub(super) fn lengths(input: &mut Input<'_>) {
    let size = input.large();
    let kind = Kind::data_for(size);
    assert_eq!(Kind::from_byte(kind.to_byte()), Some(kind));
    let mut header = Vec::new();
    header::write(kind, size, &mut header);
    let width = header.len() - 1;
    assert!(
        width == 1 || size >> (8 * (width - 1)) > 0,
        "{size} on {width}"
    );
    let cuts = input.take(8);
    let mut length = Length::of(kind);
    for piece in input::pieces(cuts, &header[1..]) {
        assert_eq!(length.feed(piece), piece.len());
    }
    // What follows is left alone.
    assert_eq!((length.feed(b"body"), length.value()), (0, Some(size)));
    assert_eq!(number(&size.to_string()), Some(size));
}
