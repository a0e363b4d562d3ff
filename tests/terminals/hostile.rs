//! A server that answers with whatever could do harm, in every place of a reply.

use crate::common::{Fake, Peer};

/// Where in a reply the text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The line for a person.
    Text,
    /// The word for what is wrong.
    Code,
    /// The name in a receipt.
    Name,
    /// A key that nobody knows, and its value.
    Key,
    /// The whole reply, which is neither good nor bad.
    Whole,
}

pub(crate) const PLACES: [Place; 5] = [
    Place::Text,
    Place::Code,
    Place::Name,
    Place::Key,
    Place::Whole,
];

/// A server for clients that send files of one byte, which gives the texts in turn, over and over.
pub(crate) fn server(place: Place, texts: Vec<Vec<u8>>) -> Fake {
    let mut texts = texts.into_iter().cycle();
    Fake::playing(move |peer| {
        let mut announced = String::new();
        while answer(peer, place, &mut texts, &mut announced).is_some() {}
    })
}

/// Takes one message and answers it. `None` where the client has gone.
fn answer(
    peer: &mut Peer,
    place: Place,
    texts: &mut dyn Iterator<Item = Vec<u8>>,
    announced: &mut String,
) -> Option<()> {
    let kind = peer.try_take(1)?[0];
    let width = match kind {
        1 | 16 | 17 => 2,
        2..=9 => usize::from(kind) - 1,
        _ => return None,
    };
    let mut length = [0; 8];
    length[..width].copy_from_slice(&peer.try_take(width)?);
    let body = peer.try_take(usize::try_from(u64::from_le_bytes(length)).ok()?)?;
    let mut text = || texts.next().expect("they go on for ever");
    let reply = match (place, kind) {
        // Taken for a good server until the receipt is due.
        (Place::Name, 16) => {
            *announced = String::from_utf8_lossy(&body).into_owned();
            b"OK\noffset=0".to_vec()
        }
        (Place::Name, 2..=9) if announced.contains("end=explicit") => b"OK".to_vec(),
        (Place::Name, _) => {
            let fields = [announced, &*String::from_utf8_lossy(&body)].join("\n");
            let digest = fields.lines().find(|line| line.starts_with("blake3="));
            let digest = digest.unwrap_or("unknown=").as_bytes();
            let last = b"\nsize=1\ndurable=yes\n";
            [b"OK\nname=", &text()[..], last, digest].concat()
        }
        (Place::Text, _) => [&b"ERR bad-name\ntext="[..], &text()].concat(),
        (Place::Code, _) => [&b"ERR "[..], &text(), b"\ntext=why"].concat(),
        (Place::Key, _) => [&b"ERR exists\ntext=why\n"[..], &text(), b"=", &text()].concat(),
        (Place::Whole, _) => text(),
    };
    let length = u16::try_from(reply.len())
        .expect("texts are shorter")
        .to_le_bytes();
    peer.give([&[1], &length[..], &reply].concat());
    Some(())
}
