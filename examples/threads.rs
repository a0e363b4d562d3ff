//! An upload server with a thread for each connection, to compare a reactor with:
//! `cargo run --example threads -- 127.0.0.1:9000 FOLDER`
//!
//! It speaks the simplest part of the protocol: STRING brings a name, which is answered OK, and
//! DATA its bytes, which are answered with a receipt. A thread may wait, so the program reads from
//! top to bottom. What it lacks: deadlines, a bound on connections, digests, and syncs; so an OK
//! says that the file is whole, and `durable=no` that a power cut may take it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use piecemeal::proto::name::{Name, NameRules};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

const STACK: usize = 256 << 10;
const BUFFER: usize = 64 << 10;
const STRING_MOST: usize = 4096;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:9000".into());
    serve(&address, &arguments.next().unwrap_or(".".into()))
}

pub(crate) fn serve(address: &str, folder: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let folder = Arc::new(OwnedFd::from(File::open(folder)?));
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, most likely: others have to end first.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let folder = Arc::clone(&folder);
        let thread = thread::Builder::new().stack_size(STACK);
        let _ = thread.spawn(move || attend(&stream, &folder));
    }
}

/// One connection, to its end.
fn attend(stream: &TcpStream, folder: &OwnedFd) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut from = BufReader::with_capacity(BUFFER, stream);
    let mut to = BufWriter::new(stream);
    let mut name = None;
    loop {
        // Before a wait, whoever waits for us gets what is ready: one write for all of it.
        if from.buffer().is_empty() {
            to.flush()?;
        }
        let mut kind = [0];
        if from.read(&mut kind)? == 0 {
            return Ok(());
        }
        let answer = match kind[0] {
            1 => match read_name(&mut from)? {
                Ok(good) => {
                    name = Some(good);
                    "OK".to_owned()
                }
                Err(why) => {
                    name = None;
                    why
                }
            },
            // DATA_1B to DATA_8B: a length of as many bytes, and the body.
            2..=9 => {
                let length = read_length(&mut from, usize::from(kind[0]) - 1)?;
                match store(&mut from, length, name.take(), folder)? {
                    Ok(name) => format!("OK\nname={name}\nsize={length}\ndurable=no"),
                    Err(why) => why,
                }
            }
            _ => "ERR bad-type\ntext=no such message".to_owned(),
        };
        to.write_all(&[1])?;
        let length = u16::try_from(answer.len()).expect("an answer is short");
        to.write_all(&length.to_le_bytes())?;
        to.write_all(answer.as_bytes())?;
        if answer.starts_with("ERR bad-type") {
            return to.flush();
        }
    }
}

fn read_length(from: &mut impl Read, bytes: usize) -> io::Result<u64> {
    let mut length = [0; 8];
    from.read_exact(&mut length[..bytes])?;
    Ok(u64::from_le_bytes(length))
}

/// The name that a STRING brings, or the answer that refuses it.
fn read_name(from: &mut impl Read) -> io::Result<Result<String, String>> {
    let length = usize::try_from(read_length(from, 2)?).expect("two bytes");
    if length > STRING_MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(match Name::parse(&text, NameRules::default()) {
        Ok(_) => Ok(text),
        Err(fault) => Err(format!("ERR bad-name\ntext={fault}")),
    })
}

/// Takes the body and gives it its name; `Err` is the answer where that can't be. All of the body
/// is read either way, or the next message would begin in its middle.
fn store(
    from: &mut impl BufRead,
    length: u64,
    name: Option<String>,
    folder: &OwnedFd,
) -> io::Result<Result<String, String>> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TMPFILE;
    let mut file = openat(folder, ".", flags, Mode::from_raw_mode(0o644)).map(File::from);
    let mut failed = None;
    let mut left = length;
    while left > 0 {
        let piece = from.fill_buf()?;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = &piece[..piece.len().min(most)];
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Ok(file) = &mut file {
            failed = failed.or(file.write_all(piece).err());
        }
        let taken = piece.len();
        from.consume(taken);
        left -= taken as u64;
    }
    let (Ok(file), None) = (file, failed) else {
        return Ok(Err("ERR io\ntext=can't be stored".to_owned()));
    };
    let Some(name) = name else {
        return Ok(Err("ERR bad-state\ntext=a name comes first".to_owned()));
    };
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, nameless, folder, &name, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(Ok(name)),
        Err(_) => Ok(Err("ERR exists\ntext=such a file is there".to_owned())),
    }
}
