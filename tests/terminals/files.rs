//! What somebody else has named or written: files, folders, receipts, journals and traces.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::common::{ClosedPort, Server, command, data, string};
use crate::evil::{NO_UTF8, forgery, scalars, tricks};
use crate::run;
use crate::screen::Screen;

fn joined(before: &str, name: &OsStr) -> OsString {
    let mut joined = OsString::from(before);
    joined.push(name);
    joined
}

#[test]
fn a_folder_of_hostile_names_is_walked_and_sent_with_nothing_raw() {
    let screen = Screen::new();
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(OsStr::from_bytes(b"f\x1b[2J"));
    fs::create_dir(&folder).expect("it is new");
    let mut names: Vec<OsString> = tricks()
        .into_iter()
        .chain([forgery()])
        .map(OsString::from)
        .collect();
    names.extend(NO_UTF8.map(|bytes| OsString::from_vec(bytes.to_vec())));
    for name in &names {
        fs::write(folder.join(name), "x").expect("written");
        let below = folder.join(joined("d", name));
        fs::create_dir(&below).expect("it is new");
        fs::write(below.join("good.txt"), "x").expect("written");
        std::os::unix::fs::symlink(name, below.join(joined("l", name))).expect("linked");
        let pipe = below.join(joined("p", name));
        assert!(
            command("mkfifo")
                .arg(pipe)
                .status()
                .expect("it starts")
                .success()
        );
        fs::write(below.join(joined(".h", name)), "x").expect("written");
    }
    let server = Server::start(&["--durability", "none", "--on-conflict", "rename"]);
    let closed = ClosedPort::new();
    for more in [
        &[][..],
        &["--json"],
        &["--dry-run"],
        &["--dry-run", "--json"],
        &["--hidden", "--follow-links"],
    ] {
        for to in [server.address(), &closed.address] {
            let mut arguments: Vec<OsString> = ["send", "--retries", "0", "--to", to]
                .map(OsString::from)
                .to_vec();
            arguments.extend(more.iter().map(OsString::from));
            arguments.push(folder.clone().into());
            let printed = run(&arguments, &[("RUST_LOG", "trace".as_ref())], b"");
            screen.takes(&format!("{more:?}"), &printed.err);
            screen.takes(&format!("{more:?}"), &printed.out);
            // And each by itself, as `send *` has them.
            let each = names.iter().map(|name| folder.join(name).into_os_string());
            let arguments = [arguments[..arguments.len() - 1].to_vec(), each.collect()].concat();
            let printed = run(&arguments, &[], b"");
            screen.takes(
                &format!("{more:?}, each"),
                &[printed.out, printed.err].concat(),
            );
        }
    }
}

#[test]
fn receipts_and_journals_of_somebody_else_are_checked_with_nothing_raw() {
    let screen = Screen::new();
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("receipts");
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for text in tricks()
        .into_iter()
        .chain(scalars(4_000))
        .chain([forgery()])
    {
        let string = serde_json::to_string(&text).expect("a string");
        let good = r#""size":1,"durable":true,"time":"t""#;
        lines.push(format!(r#"{{"name":{string},{good}}}"#).into_bytes());
        lines.push(format!(r#"{{"name":"../{}",{good}}}"#, "x").into_bytes());
        lines.push(format!(r#"{{"name":"f","blake3":{string},{good}}}"#).into_bytes());
        lines.push(
            format!(r#"{{"name":"f","size":{string},"durable":true,"time":"t"}}"#).into_bytes(),
        );
        lines.push(format!(r#"{{{string}:1}}"#).into_bytes());
        lines.push(text.replace('\n', "").into_bytes());
    }
    lines.extend(NO_UTF8.map(<[u8]>::to_vec));
    // What is there under such names, and is no file.
    for trick in tricks() {
        fs::create_dir(home.path().join(&trick)).expect("it is new");
    }
    fs::write(&file, lines.join(&b'\n')).expect("written");
    for more in [&[][..], &["--json"]] {
        let mut arguments = vec![
            "verify".into(),
            "--receipts".into(),
            file.clone().into_os_string(),
        ];
        arguments.extend(more.iter().map(OsString::from));
        arguments.push(home.path().into());
        let printed = run(&arguments, &[], b"");
        assert_ne!(printed.code, Some(0));
        screen.takes("verify", &printed.err);
        screen.takes("verify", &printed.out);
    }
}

#[test]
fn a_trace_of_somebody_else_is_drawn_with_nothing_raw() {
    let screen = Screen::new();
    let home = tempfile::tempdir().expect("a folder");
    let (file, drawing) = (home.path().join("trace"), home.path().join("drawing.svg"));
    let server = Server::start(&["--trace-file", file.to_str().expect("text")]);
    let mut client = server.client();
    client.send([string("a"), data("x")].concat());
    client.ok();
    client.ok();
    let mut server = server;
    drop(client);
    server.stop();
    let good = fs::read_to_string(&file).expect("it is there");
    screen.takes_json("a trace", good.as_bytes());
    let words = [
        "127.0.0.1",
        "ReadType",
        "ReadLen",
        "Type",
        "Length",
        "closed",
        "at_us",
    ];
    for text in tricks()
        .into_iter()
        .chain([forgery()])
        .chain(scalars(900).into_iter().take(40))
    {
        let string = serde_json::to_string(&text).expect("a string");
        let inner = &string[1..string.len() - 1];
        let replaced = words.iter().map(|word| good.replace(word, inner));
        let raw = [
            text.clone(),
            format!("{good}{text}"),
            good.replace("ReadType", &text),
        ];
        for trace in replaced.chain(raw) {
            fs::write(&file, trace).expect("written");
            let arguments = [
                "trace".as_ref(),
                file.as_os_str(),
                "--svg".as_ref(),
                drawing.as_os_str(),
            ];
            let printed = run(&arguments, &[], b"");
            screen.takes(
                &format!("trace, {text:?}"),
                &[printed.out, printed.err].concat(),
            );
            if !crate::takes_all() && text.len() > 60 {
                break;
            }
        }
    }
}
