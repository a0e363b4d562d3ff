//! What the protocol costs by itself: no socket, no file, no clock.
//!
//! The receiver is fed whole sessions twice: in one piece, and one byte at a time. It can't tell
//! the difference, so the second shows what a step of the machine costs at worst.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use piecemeal::proto::announce::Put;
use piecemeal::proto::header::{self, Length};
use piecemeal::proto::name::{Name, NameRules};
use piecemeal::proto::reply::Answer;
use piecemeal::proto::sender::{Check, Event, Upload};
use piecemeal::proto::{
    Action, Begun, Digest, Fault, Kind, Machine, Metadata, Moment, Receipt, Receiver, Reply, Rules,
    Sender, Want,
};

/// Uploads of one session, and bytes of each.
const UPLOADS: usize = 100;
const SIZE: usize = 1024;

/// A store that answers at once: it copies the bytes, as any must, and keeps those of one upload.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    replies: usize,
}

impl Model {
    fn act(&mut self, machine: &mut Receiver) {
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Begin(_) | Action::Reserve(_) => {
                    machine.handle_begun(Ok(Begun::Open), Moment::START);
                }
                Action::Commit(ticket, seal) => {
                    let size = self.bytes.len() as u64;
                    assert_eq!(size, seal.size);
                    self.bytes.clear();
                    let receipt = Receipt {
                        name: "name".into(),
                        size,
                        digest: seal.digest,
                        durable: false,
                    };
                    machine.handle_stored(ticket, Ok(receipt), Moment::START);
                }
                Action::Abort
                | Action::Discard
                | Action::Show(_)
                | Action::Remark(_)
                | Action::Write(_)
                | Action::FinishSending => {}
            }
        }
        let sent = machine.output().len();
        self.replies += sent;
        machine.handle_sent(sent, Moment::START);
    }

    /// Feeds one piece.
    fn feed(&mut self, machine: &mut Receiver, mut piece: &[u8]) {
        while !piece.is_empty() {
            let took = match machine.want() {
                Want::Bytes => machine.handle_bytes(piece, Moment::START),
                Want::Body(left) => {
                    let took = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.bytes.extend_from_slice(&piece[..took]);
                    machine.handle_moved(took as u64, Moment::START);
                    took
                }
                other => panic!("the machine refuses a good session: {other:?}"),
            };
            self.act(machine);
            piece = &piece[took..];
        }
    }
}

fn message(kind: Kind, body: &[u8], out: &mut Vec<u8>) {
    header::write(kind, body.len() as u64, out);
    out.extend_from_slice(body);
}

/// A session as a client sends it: each file is named by a STRING, or announced by a PUT.
fn session(announced: bool) -> Vec<u8> {
    let (mut out, body) = (Vec::new(), [7; SIZE]);
    for number in 0..UPLOADS {
        let name = format!("report {number}.pdf");
        if announced {
            let put = Put {
                name,
                size: Some(SIZE as u64),
                digest: Some(Digest([7; 32])),
                explicit_end: false,
                conflict: None,
                upload: None,
                metadata: Metadata::default(),
            };
            message(Kind::Put, put.to_string().as_bytes(), &mut out);
        } else {
            message(Kind::String, name.as_bytes(), &mut out);
        }
        message(Kind::data_for(SIZE as u64), &body, &mut out);
    }
    out
}

fn receiver(criterion: &mut Criterion) {
    let rules = Arc::new(Rules::default());
    for (named_by, announced) in [("string", false), ("put", true)] {
        let session = session(announced);
        let group_name = format!("receiver/{UPLOADS} files of {SIZE} B named by {named_by}");
        let mut group = criterion.benchmark_group(group_name);
        for (pieces, size) in [
            ("whole", session.len()),
            ("1460 B", 1460),
            ("byte by byte", 1),
        ] {
            let mut run = |throughput: Throughput| {
                group.throughput(throughput.clone());
                let of = match throughput {
                    Throughput::Bytes(_) => "bytes",
                    _ => "messages",
                };
                group.bench_function(BenchmarkId::new(pieces, of), |bencher| {
                    bencher.iter(|| {
                        let mut machine = Receiver::new(Arc::clone(&rules), Moment::START);
                        let mut model = Model::default();
                        for piece in session.chunks(size) {
                            model.feed(&mut machine, piece);
                        }
                        assert_eq!(machine.want(), Want::Bytes);
                        model.replies
                    });
                });
            };
            run(Throughput::Bytes(session.len() as u64));
            if pieces == "whole" {
                run(Throughput::Elements(2 * UPLOADS as u64));
            }
        }
    }
}

/// A client's machine sends the same files, and reads a receipt for each.
fn sender(criterion: &mut Criterion) {
    let receipt = Receipt {
        name: "report.pdf".into(),
        size: SIZE as u64,
        digest: None,
        durable: true,
    };
    let mut replies = Vec::new();
    Reply::Begin { offset: 0 }.write(&mut replies);
    Reply::Receipt(receipt).write(&mut replies);
    let mut group = criterion.benchmark_group("sender");
    group.throughput(Throughput::Elements(2 * UPLOADS as u64));
    group.bench_function("messages", |bencher| {
        bencher.iter(|| {
            let mut sender = Sender::new(None, Moment::START);
            for id in 0..UPLOADS as u64 {
                let upload = Upload {
                    id,
                    name: "report.pdf".into(),
                    size: SIZE as u64,
                    digest: Check::None,
                    conflict: None,
                    resume: None,
                    metadata: Metadata::default(),
                };
                sender.begin(upload, Moment::START);
                sender.handle_sent(black_box(sender.output()).len(), Moment::START);
                let (_, _, left) = sender.body().expect("a small body follows at once");
                sender.handle_body_sent(left, Moment::START);
                let taken = sender.handle_bytes(black_box(&replies), Moment::START);
                taken.expect("these replies are right");
                assert!(matches!(sender.poll_event(), Some(Event::Stored(..))));
            }
        });
    });
}

fn texts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text");
    let rules = NameRules {
        allow_hidden: false,
        allow_folders: true,
    };
    let names = [
        ("short name", "report.pdf".to_owned()),
        ("long name", "a".repeat(200)),
        ("name not in ASCII", "Übergrößenträger ".repeat(8) + "ß"),
        ("name in folders", "folder/".repeat(20) + "report.pdf"),
    ];
    for (what, name) in &names {
        group.throughput(Throughput::Bytes(name.len() as u64));
        group.bench_function(*what, |bencher| {
            bencher.iter(|| Name::parse(black_box(name), rules).expect("a good name"));
        });
    }
    let put = Put {
        name: "report.pdf".into(),
        size: Some(1 << 20),
        digest: Some(Digest([7; 32])),
        explicit_end: true,
        conflict: None,
        upload: None,
        metadata: Metadata::default(),
    }
    .to_string();
    group.throughput(Throughput::Bytes(put.len() as u64));
    group.bench_function("fields of a PUT", |bencher| {
        bencher.iter(|| Put::parse(black_box(&put)).expect("good fields"));
    });
    group.finish();
}

fn headers_and_replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    group.throughput(Throughput::Elements(1));
    let kind = Kind::data_for(u64::MAX);
    let bytes = 5u64.to_le_bytes();
    group.bench_function("whole", |bencher| {
        bencher.iter(|| {
            let mut length = Length::of(black_box(kind));
            length.feed(black_box(&bytes));
            length.value()
        });
    });
    group.bench_function("byte by byte", |bencher| {
        bencher.iter(|| {
            let mut length = Length::of(black_box(kind));
            for byte in black_box(&bytes).chunks(1) {
                length.feed(byte);
            }
            length.value()
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(1));
    let receipt = Reply::Receipt(Receipt {
        name: "report.pdf".into(),
        size: 1 << 20,
        digest: Some(Digest([7; 32])),
        durable: true,
    });
    let fault = Reply::Fault(Fault::TooLarge { limit: 1 << 20 });
    let mut out = Vec::with_capacity(4096);
    for (what, reply) in [("OK", &Reply::Ok), ("receipt", &receipt), ("ERR", &fault)] {
        group.bench_function(BenchmarkId::new("write", what), |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(reply).write(&mut out);
                out.len()
            });
        });
    }
    out.clear();
    receipt.write(&mut out);
    let text = str::from_utf8(&out[3..]).expect("replies are text");
    group.bench_function(BenchmarkId::new("read", "receipt"), |bencher| {
        bencher.iter(|| Answer::parse(black_box(text)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(30);
    targets = headers_and_replies, receiver, sender, texts
}
criterion_main!(benches);
