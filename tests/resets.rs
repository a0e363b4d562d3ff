//! Peers that reset their connection at every point of a session of each kind: what wasn't sent
//! whole is never seen, what was acknowledged is there, and nothing else is left.

mod common;

use std::fs;

use common::{Server, data, data_eof, data_header, digest, end, put, string};

const BYTES: &[u8] = b"piecemeal";

/// A session that sends one file.
struct Session {
    kind: &'static str,
    /// Its messages, given the file's name.
    says: fn(&str) -> Vec<Vec<u8>>,
    /// How many of those it takes to have sent the file; too many where it is never sent.
    whole: usize,
    /// How many of them are answered without anything that follows.
    answered: usize,
}

const SESSIONS: &[Session] = &[
    Session {
        kind: "named",
        says: |name| vec![string(name), data(BYTES), string("next")],
        whole: 2,
        answered: 3,
    },
    Session {
        kind: "wide",
        says: |name| {
            let wide = [data_header(8, BYTES.len() as u64), BYTES.to_vec()].concat();
            vec![string(name), wide, vec![2]]
        },
        whole: 2,
        answered: 2,
    },
    Session {
        kind: "announced",
        says: |name| {
            let (size, right) = (BYTES.len(), digest(BYTES));
            let announced = put(format!("name={name}\nsize={size}\nblake3={right}"));
            vec![announced, data(BYTES)]
        },
        whole: 2,
        answered: 2,
    },
    Session {
        kind: "pieces",
        says: |name| {
            let (one, other) = BYTES.split_at(5);
            let announced = put(format!("name={name}\nend=explicit"));
            let end = end(format!("blake3={}", digest(BYTES)));
            vec![announced, data(one), data(other), end]
        },
        whole: 4,
        answered: 4,
    },
    Session {
        kind: "resumable",
        says: |name| vec![resumable(name), data(BYTES)],
        whole: 2,
        answered: 2,
    },
    // A reset is no end: this is the one whose end says that it is whole.
    Session {
        kind: "stream",
        says: |name| vec![string(name), data_eof(BYTES)],
        whole: usize::MAX,
        answered: 1,
    },
    Session {
        kind: "refused",
        says: |name| {
            vec![
                string(format!("../{name}")),
                data(BYTES),
                vec![99],
                vec![7; 9],
            ]
        },
        whole: usize::MAX,
        answered: 3,
    },
    Session {
        kind: "ended",
        says: |_| vec![end("size=5"), put("name=../b"), end("")],
        whole: usize::MAX,
        answered: 3,
    },
];

fn resumable(name: &str) -> Vec<u8> {
    put(format!("name={name}\nsize={}\nupload={name}", BYTES.len()))
}

/// Resets after so many bytes of these messages, once so many of them are answered. Returns whether it
/// was told that the file is stored.
fn reset_after(server: &Server, messages: &[Vec<u8>], cut: usize, answered: usize) -> bool {
    let mut client = server.client();
    client.send(&messages.concat()[..cut]);
    let mut is_stored = false;
    let mut left = cut;
    for message in &messages[..answered] {
        let Some(rest) = left.checked_sub(message.len()) else {
            break;
        };
        left = rest;
        let reply = client.reply();
        is_stored |= reply.status() == "OK" && reply.key("size").is_some();
    }
    client.reset();
    is_stored
}

#[test]
fn a_reset_at_any_byte_leaves_what_was_acknowledged_or_wholly_sent_and_nothing_else() {
    let server = Server::start(&["--accept-eof"]);
    let before = server.descriptors_when_warm();
    let (mut acknowledged, mut whole) = (Vec::new(), Vec::new());
    for Session {
        kind,
        says,
        whole: most,
        answered,
    } in SESSIONS
    {
        for listens in [false, true] {
            let all: usize = says(&format!("{kind}-000-{listens}"))
                .iter()
                .map(Vec::len)
                .sum();
            for cut in 0..=all {
                let name = format!("{kind}-{cut:03}-{listens}");
                let messages = says(&name);
                let answered = if listens { *answered } else { 0 };
                if reset_after(&server, &messages, cut, answered) {
                    acknowledged.push(name.clone());
                }
                let sent = messages.iter().take(*most).map(Vec::len).sum();
                if *most < usize::MAX && cut >= sent {
                    whole.push(name);
                }
            }
        }
    }
    server.settles_to(before);
    let names = server.names();
    for name in &names {
        assert!(whole.contains(name), "{name} was never wholly sent");
        assert!(server.stored(name) == BYTES, "{name}");
    }
    for name in &acknowledged {
        assert!(names.contains(name), "{name} was acknowledged");
    }
    assert!(acknowledged.len() > SESSIONS.len() / 2, "{acknowledged:?}");
    goes_on_with_all(&server);
}

/// What was kept to be gone on with is good, and is all that was kept.
fn goes_on_with_all(server: &Server) {
    let kept = fs::read_dir(server.path(".piecemeal")).expect("there were some");
    assert!(kept.count() > 0);
    let mut client = server.client();
    let names = server.names();
    for listens in [false, true] {
        for cut in 0..=resumable("resumable-000-false").len() + 2 + BYTES.len() {
            let name = format!("resumable-{cut:03}-{listens}");
            if names.contains(&name) {
                continue;
            }
            client.send(resumable(&name));
            let offset = client.ok().key("offset").and_then(|text| text.parse().ok());
            let offset: usize = offset.expect("an offset");
            client.send(data(&BYTES[offset..]));
            client.receipt(&name, BYTES.len());
            assert_eq!(server.stored(&name), BYTES);
        }
    }
    assert_eq!(server.partials(), 0);
}
