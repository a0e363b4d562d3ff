//! Names that no good client sends. Whatever a server does with them, no file may appear outside
//! of its folder, and the next client is served.

use std::path::{Path, PathBuf};

use super::super::bench::{ABSENCE, Bench};
use super::super::message::Message;
use super::super::probe::Ending;
use super::super::shown::quoted;
use super::super::verdict::Outcome;

/// Sends a file under such a name, as far as the server goes along.
fn send(bench: &mut Bench, name: &[u8], forbidden: &[PathBuf]) -> Outcome {
    let body = bench.body(64);
    let message = Message::name(bench.grammar, name);
    let mut probe = bench.connect()?;
    probe.send(&message);
    // It may refuse in whatever way it likes: only an OK is gone along with.
    let ok: &[u8] = if bench.framed() {
        b"\x01\x02\0OK"
    } else {
        b"OK"
    };
    let ending = probe.read_until(bench.watch.patience() / 3, |received| {
        received.len() >= ok.len()
    });
    if ending == Ending::Open && probe.received() == ok {
        probe.send(&bench.file_message(&body));
    }
    probe.half_close();
    let ending = probe.read_to_end();
    let written = bench
        .watch
        .poll(ABSENCE, || forbidden.iter().find(|path| path.exists()));
    if let Some(path) = written {
        // It has our own name, and nobody else wants it.
        let _ = std::fs::remove_file(path);
        return Err(probe
            .fail_here("the upload ends here", "no file outside of the server's folder")
            .got(format!("the file {} was written", quoted(path.as_os_str().as_encoded_bytes())))
            .state("the name is looked at before anything is opened: a part that is .. or a leading / is refused"));
    }
    if ending == Ending::Open {
        return Err(probe
            .fail_here(
                "here our stream ends",
                "a refusal, or just the end of the connection",
            )
            .state("the name is refused; the stream has ended, and the connection is closed"));
    }
    bench.remember(&probe);
    bench.expect_still_serving(&format!("the name {}", quoted(name)))
}

/// The folder's parent, or its grandparent.
fn above(bench: &Bench, levels: usize) -> Option<PathBuf> {
    let folder = bench.folder.as_ref()?;
    folder.path().ancestors().nth(levels).map(Path::to_owned)
}

pub(super) fn parent(bench: &mut Bench) -> Outcome {
    let name = bench.name(".txt");
    let forbidden: Vec<PathBuf> = above(bench, 1)
        .map(|folder| folder.join(&name))
        .into_iter()
        .collect();
    if forbidden.is_empty() {
        bench.cannot_see(super::super::bench::NO_FOLDER);
    }
    send(bench, format!("../{name}").as_bytes(), &forbidden)
}

pub(super) fn detour(bench: &mut Bench) -> Outcome {
    let name = bench.name(".txt");
    let mut forbidden = Vec::new();
    if let (Some(one), Some(two)) = (above(bench, 1), above(bench, 2)) {
        forbidden = vec![one.join(&name), two.join(&name)];
    } else {
        bench.cannot_see(super::super::bench::NO_FOLDER);
    }
    send(bench, format!("./../{name}").as_bytes(), &forbidden)?;
    send(bench, format!("../../{name}").as_bytes(), &forbidden)?;
    send(bench, format!("a/../../{name}").as_bytes(), &forbidden)
}

pub(super) fn absolute(bench: &mut Bench) -> Outcome {
    // A folder of our own, where anybody on this machine could write.
    let Ok(target) = tempfile::Builder::new()
        .prefix("piecemeal-check-")
        .tempdir()
    else {
        bench.cannot_see("no temporary folder can be made to see whether it is written to");
        return Ok(());
    };
    let path = target.path().join(bench.name(".txt"));
    let name = path.as_os_str().as_encoded_bytes().to_vec();
    send(bench, &name, &[path])
}

pub(super) fn nul(bench: &mut Bench) -> Outcome {
    let name = bench.name("");
    send(bench, format!("{name}\0.txt").as_bytes(), &[])
}

pub(super) fn control(bench: &mut Bench) -> Outcome {
    let name = bench.name("");
    send(bench, format!("{name}\n\x1b[2J\r.txt").as_bytes(), &[])
}

pub(super) fn no_utf8(bench: &mut Bench) -> Outcome {
    let name = [bench.name("").as_bytes(), b"\xff\xc3.txt"].concat();
    send(bench, &name, &[])
}

pub(super) fn empty(bench: &mut Bench) -> Outcome {
    send(bench, b"", &[])
}

pub(super) fn dots(bench: &mut Bench) -> Outcome {
    for name in [&b"."[..], b"..", b"/", b"./"] {
        send(bench, name, &[])?;
    }
    Ok(())
}

pub(super) fn long(bench: &mut Bench) -> Outcome {
    let name = bench.name(&"x".repeat(300));
    send(bench, name.as_bytes(), &[])
}

pub(super) fn missing_folder(bench: &mut Bench) -> Outcome {
    let name = bench.name("/missing/a.txt");
    send(bench, name.as_bytes(), &[])
}
