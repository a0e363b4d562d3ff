//! Bodies that are spliced and bodies that are copied: the same files, the same answers.
//!
//! The rest of the suite goes either way by `SUITE_SPLICE=always cargo test`, or `never`.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use common::{Server, Starter, data, data_header, digest, end, put, string};
use piecemeal::server::{self, Config, Splicing};
use piecemeal::store::folder::Durability;
use piecemeal::store::{FolderStore, MemoryStore, Store};

const WAYS: [&str; 3] = ["never", "auto", "always"];

/// Bytes in which each place can be told from the others.
fn file(size: usize) -> Vec<u8> {
    let numbers =
        (0u64..).flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    numbers.take(size).collect()
}

#[test]
fn the_same_uploads_become_the_same_files_either_way() {
    let sizes = [0, 1, 100, 4096, 65_535, 65_536, 65_537, 1 << 20, 9 << 20];
    for way in WAYS {
        let server = Server::start(&["--splice", way]);
        let mut client = server.client();
        for size in sizes {
            let bytes = file(size);
            // Whole, in pieces with a digest behind them, and several at once.
            client.upload(&format!("whole-{size}"), &bytes);
            let (one, other) = bytes.split_at(size / 3);
            client.send(put(format!("name=parts-{size}\nend=explicit")));
            client.send([data(one), data(other)].concat());
            client.send(end(format!("size={size}\nblake3={}", digest(&bytes))));
            for _ in 0..3 {
                client.ok();
            }
            client.receipt(&format!("parts-{size}"), size);
        }
        let all = sizes.map(|size| [string(format!("next-{size}")), data(file(size))].concat());
        let mut sender = client.again();
        let sending = std::thread::spawn(move || sender.send(all.concat()));
        for size in sizes {
            client.ok();
            client.receipt(&format!("next-{size}"), size);
        }
        sending.join().expect("it was sent");
        for size in sizes {
            for kind in ["whole", "parts", "next"] {
                let stored = std::fs::read(server.path(&format!("{kind}-{size}"))).expect("stored");
                assert!(stored == file(size), "{way}: {kind}-{size}");
            }
        }
    }
}

#[test]
fn a_wrong_digest_is_found_in_spliced_bytes() {
    for way in WAYS {
        let server = Server::start(&["--splice", way]);
        for size in [100_000, 10 << 20] {
            let mut client = server.client();
            let wrong = digest(b"something else");
            client.send(put(format!("name=a\nsize={size}\nblake3={wrong}")));
            client.ok();
            client.send(data(file(size)));
            client.refused("digest");
            client.upload(&format!("next-{size}"), b"next");
        }
        assert_eq!(server.names().len(), 2, "{way}");
    }
}

#[test]
fn what_a_dead_peer_or_a_full_disk_left_in_the_pipe_is_in_no_other_file() {
    let server = Starter::new(&["--splice", "always"])
        .limited("-f 2048")
        .start();
    for round in 0..20 {
        // The file may not grow so large: bytes are left in the pipe when its write fails.
        let mut full = server.client();
        full.send(string(format!("full-{round}")));
        full.ok();
        full.send(data(vec![b'f'; 5 << 20]));
        full.refused("no-space");
        // This one dies in the middle.
        let mut dying = server.client();
        dying.send(data_header(4, 1 << 20));
        dying.send(vec![b'd'; 300_000]);
        dying.finish();
        dying.refused("incomplete");
        let name = format!("good-{round}");
        let bytes = file(300_000 + round);
        server.client().upload(&name, &bytes);
        assert!(std::fs::read(server.path(&name)).expect("stored") == bytes);
    }
    assert_eq!(server.names().len(), 20);
}

/// Sends a file of 3 MB to a server in this process; returns how many bytes were spliced.
fn spliced(store: impl Store<Upload: Send> + Send + 'static, splicing: Splicing) -> u64 {
    let config = Config {
        bind: vec!["127.0.0.1:0".parse().expect("an address")],
        splicing,
        ..Config::default()
    };
    let server = server::Server::bind(config, store).expect("it listens");
    let server = server.start().expect("a thread");
    let address = server.addresses()[0].to_string();
    let mut stream = TcpStream::connect(address).expect("it listens");
    let message = [string("a"), data(file(3_000_000))].concat();
    stream.write_all(&message).expect("it takes bytes");
    stream.shutdown(Shutdown::Write).expect("connected");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("answers");
    assert!(answers.contains("size=3000000"), "{answers:?}");
    server.stop().expect("it stops").counts.spliced_bytes
}

#[test]
fn which_way_a_body_takes_is_as_it_was_asked_for_and_as_the_store_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |name: &str| {
        FolderStore::open(&folder.path().join(name), Durability::None).expect("it opens")
    };
    assert_eq!(spliced(open("never"), Splicing::Never), 0);
    // All but what is left at the end, which is cheaper to copy.
    assert!(spliced(open("auto"), Splicing::Auto) > 2_000_000);
    assert!(spliced(open("always"), Splicing::Always) > 2_900_000);
    for name in ["never", "auto", "always"] {
        let stored = std::fs::read(folder.path().join(name).join("a")).expect("stored");
        assert!(stored == file(3_000_000), "{name}");
    }
    let memory = MemoryStore::new();
    let files = memory.files();
    assert_eq!(spliced(memory, Splicing::Always), 0);
    assert!(files.get("a").expect("stored") == file(3_000_000));
}
