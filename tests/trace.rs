//! Watching the machine: the trace of a connection as it happens, its file, and its drawing.

mod common;

use std::fs;
use std::path::Path;

use common::{Client, Server, Starter, command, data, piecemeal, skipped, string};
use piecemeal::observe::trace::{Record, What};

/// Sends bytes one at a time. The next goes out when the trace shows that the one before it was
/// read, so each is a read by itself, however the machine is loaded.
fn dribble(server: &Server, client: &mut Client, connection: u64, bytes: &[u8], before: usize) {
    let read = format!(" #{connection} read 1 byte");
    for (index, byte) in bytes.iter().enumerate() {
        client.send([*byte]);
        let reads = before + index + 1;
        server
            .out
            .wait_for_many(reads, |line| line.ends_with(&read));
    }
}

/// A server that was watched while a named file of three bytes was dribbled to it.
fn watched(file: &Path) -> Server {
    let mut server = Server::start(&["--trace", "--trace-file", file.to_str().expect("text")]);
    let mut client = server.client();
    let message = [string("ab"), data(b"xyz")].concat();
    dribble(&server, &mut client, 1, &message, 0);
    assert_eq!(client.reply().text(), "OK");
    client.receipt("ab", 3);
    client.finish();
    client.expect_end();
    server.out.wait_for(|line| line.ends_with(" #1 closed"));
    server.stop();
    server
}

/// The parts behind the time, which no test can know.
fn told(server: &Server) -> Vec<String> {
    let lines = server.out.to_end();
    let parts = lines.iter().filter_map(|line| line.split_once(" #1 "));
    parts.map(|(_, what)| what.to_owned()).collect()
}

#[test]
fn the_trace_of_a_dribbled_upload_shows_every_partial_read_in_order() {
    let home = tempfile::tempdir().unwrap();
    let told = told(&watched(&home.path().join("trace")));
    assert!(told[0].starts_with("connected: 127.0.0.1:"), "{told:#?}");
    let sends = |line: &&String| !line.starts_with("sent ");
    let told: Vec<&String> = told[1..].iter().filter(sends).collect();
    let read = "read 1 byte";
    let ready = "Reply --Room--> ReadType";
    assert_eq!(
        told,
        [
            read,
            "ReadType 1 of 1 byte",
            "ReadType --Type--> ReadLen",
            read,
            "ReadLen 1 of 2 bytes",
            read,
            "ReadLen 2 of 2 bytes",
            "ReadLen --Length--> ReadText",
            read,
            "ReadText 1 of 2 bytes",
            read,
            "ReadText 2 of 2 bytes",
            "ReadText --Text--> Open",
            "Open --Answer--> Reply",
            ready,
            read,
            "ReadType 1 of 1 byte",
            "ReadType --Type--> ReadLen",
            read,
            "ReadLen 1 of 1 byte",
            "ReadLen --Length--> Open",
            "Open --Answer--> ReadBody",
            read,
            "ReadBody 1 of 3 bytes",
            read,
            "ReadBody 2 of 3 bytes",
            read,
            "ReadBody 3 of 3 bytes",
            "ReadBody --Body--> Commit",
            "Commit --Ahead--> Reply",
            ready,
            "the peer ended its stream",
            "ReadType --End--> Drain",
            "Drain --Sent--> Closed",
            "closed",
        ]
    );
}

#[test]
fn the_file_has_the_same_records_as_the_lines_and_is_json_line_by_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("trace");
    let server = watched(&file);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with('\n'));
    let records = text.lines().map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for key in ["at_us", "connection", "what"] {
            assert!(value.get(key).is_some(), "{line} has no {key}");
        }
        Record::from_json(line.as_bytes()).expect("a record")
    });
    let records: Vec<Record> = records.collect();
    let lines = server.out.to_end();
    let lines = lines.iter().filter(|line| line.contains(" #1 "));
    let shown: Vec<String> = records.iter().map(Record::to_string).collect();
    assert!(lines.eq(shown.iter()), "{shown:#?}");
    let sent = records.iter().map(|record| match record.what {
        What::Sent { bytes } => bytes,
        _ => 0,
    });
    let receipt = "OK\nname=ab\nsize=3\ndurable=yes".len() as u64;
    assert_eq!(sent.sum::<u64>(), 5 + 3 + receipt);
}

#[test]
fn the_drawing_shows_every_partial_read_and_the_svg_is_well_formed() {
    let home = tempfile::tempdir().unwrap();
    let (file, svg) = (home.path().join("trace"), home.path().join("trace.svg"));
    drop(watched(&file));
    let (file, svg) = (file.to_str().unwrap(), svg.to_str().unwrap());
    let ran = piecemeal(&["trace", file, "--svg", svg]).exits(0);
    let mut rest = ran.out.as_str();
    for piece in [
        "connection 1 from 127.0.0.1:",
        "10 bytes in 10 reads",
        "connected",
        "read 1 byte: ReadType 1 of 1 → ReadLen",
        "read 1 byte: ReadLen 1 of 2 ",
        "read 1 byte: ReadLen 2 of 2 → ReadText",
        "read 1 byte: ReadText 1 of 2 ",
        "read 1 byte: ReadText 2 of 2 → Open",
        "read 1 byte: ReadBody 1 of 3 ",
        "read 1 byte: ReadBody 2 of 3 ",
        "read 1 byte: ReadBody 3 of 3 → Commit",
        "the peer ended its stream",
        "closed",
        "1 column: ",
    ] {
        let Some((_, after)) = rest.split_once(piece) else {
            panic!("{piece} is not where it should be: {}", ran.out);
        };
        rest = after;
    }
    let plain = |c: char| c == '\n' || !c.is_control();
    assert!(
        ran.out.chars().all(plain),
        "no colours where no terminal is"
    );
    let text = fs::read_to_string(svg).unwrap();
    for state in ["ReadType", "ReadLen", "ReadText", "ReadBody", "Commit"] {
        assert!(text.contains(state), "{text}");
    }
    well_formed(svg);
}

/// Expects that a program that knows nothing of this one can read the XML.
fn well_formed(svg: &str) {
    let script =
        "import sys, xml.dom.minidom as x; print(x.parse(sys.argv[1]).documentElement.tagName)";
    let Ok(output) = command("python3").args(["-c", script, svg]).output() else {
        return skipped("there is no python3 to read the SVG");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "svg", "{output:?}");
}

#[test]
fn one_connection_is_drawn_and_the_others_are_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("trace");
    let file = file.to_str().unwrap();
    let mut server = Server::start(&["--trace-file", file]);
    for name in ["a", "b"] {
        let mut client = server.client();
        client.upload(name, b"bytes");
        if name == "b" {
            client.upload("c", b"bytes");
        }
        client.finish();
        client.expect_end();
    }
    server.stop();
    assert!(!server.out.to_end().iter().any(|line| line.contains('#')));
    let ran = piecemeal(&["trace", file]).exits(0);
    assert!(ran.out.starts_with("connection 2 "), "{ran:#?}");
    ran.line_with(&["--connection N", " 1"]);
    let ran = piecemeal(&["trace", file, "--connection", "1"]).exits(0);
    assert!(ran.out.starts_with("connection 1 "), "{ran:#?}");
    let ran = piecemeal(&["trace", file, "--connection", "3"]).exits(1);
    ran.line_with(&[file, "these are: 1, 2"]);
}

#[test]
fn a_file_that_is_no_trace_is_refused_with_its_line_and_what_would_work() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("trace");
    let path = file.to_str().unwrap();
    let record = r#"{"at_us":5,"connection":1,"what":"end"}"#;
    let earlier = record.replace('5', "4");
    for (bytes, says) in [
        (Vec::new(), "no connection is in it"),
        (b"\x89PNG\r\n\x1a\n\0\0".to_vec(), "line 1 "),
        (format!("{record}\n\u{1b}[2J\n").into_bytes(), "line 2 "),
        (
            format!("{record}\n{earlier}\n").into_bytes(),
            "line 2 is earlier",
        ),
        (
            [record.as_bytes(), b"\n", &[b'{'; 100_000]].concat(),
            "line 2 is longer",
        ),
    ] {
        fs::write(&file, bytes).unwrap();
        let ran = piecemeal(&["trace", path]).exits(9);
        ran.line_with(&[path, says]);
        assert!(
            !ran.err.contains('\u{1b}') && ran.out.is_empty(),
            "{ran:#?}"
        );
    }
    let missing = format!("{path}.gone");
    piecemeal(&["trace", &missing])
        .exits(9)
        .line_with(&[&missing]);
    let folder = home.path().to_str().unwrap();
    piecemeal(&["trace", folder]).exits(9).line_with(&[folder]);
}

#[test]
fn whatever_a_trace_claims_it_is_drawn_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let (file, svg) = (home.path().join("trace"), home.path().join("trace.svg"));
    let (path, svg) = (file.to_str().unwrap(), svg.to_str().unwrap());
    let nasty = r#"</text><script>alert(1)</script>&\"'"#;
    let most = u64::MAX;
    let lines = [
        format!(r#"{{"at_us":0,"connection":{most},"what":"connected","peer":"{nasty}"}}"#),
        format!(r#"{{"at_us":0,"connection":{most},"what":"read","bytes":{most}}}"#),
        format!(r#"{{"at_us":1,"connection":{most},"what":"read","bytes":{most},"new":[1]}}"#),
        format!(
            r#"{{"at_us":1,"connection":{most},"what":"stands","state":"{nasty}","took":{most},"have":{most},"need":0}}"#
        ),
        format!(
            r#"{{"at_us":{most},"connection":{most},"what":"step","from":"","cause":"","to":"{nasty}"}}"#
        ),
        format!(r#"{{"at_us":{most},"connection":{most},"what":"lost","why":"{nasty}"}}"#),
        // The server was killed while it wrote.
        format!(r#"{{"at_us":{most},"conn"#),
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let ran = piecemeal(&["trace", path, "--svg", svg, "--width", "50"]).exits(0);
    ran.line_with(&["half a record"]);
    well_formed(svg);
    assert!(!fs::read_to_string(svg).unwrap().contains("<script"));
    // Far more than anybody can look at, and states without end.
    let mut text = String::new();
    for n in 0..20_000 {
        text += &format!(
            "{{\"at_us\":{n},\"connection\":1,\"what\":\"step\",\"from\":\"s{n}\",\"cause\":\"c\",\"to\":\"s{}\"}}\n",
            n + 1
        );
    }
    fs::write(&file, text).unwrap();
    let ran = piecemeal(&["trace", path, "--svg", svg]).exits(0);
    assert!(ran.out.len() < 100_000 && fs::metadata(svg).unwrap().len() < 1 << 20);
    well_formed(svg);
}

#[test]
fn a_trace_file_that_can_not_be_written_is_an_error_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("no folder").join("trace");
    let file = file.to_str().unwrap();
    let dir = home.path().join("stored");
    let dir = dir.to_str().unwrap();
    let serve = ["serve", "--bind", "127.0.0.1:0", "--dir", dir];
    let ran = piecemeal(&[&serve[..], &["--trace-file", file]].concat()).exits(1);
    ran.line_with(&[file, "--trace-file"]);
    assert!(!ran.err.contains("listening"), "{ran:#?}");
}

#[test]
fn a_trace_file_that_fills_its_disk_costs_the_trace_and_no_upload() {
    if !Path::new("/dev/full").exists() {
        return skipped("there is no /dev/full");
    }
    let mut server = Server::start(&["--trace-file", "/dev/full"]);
    for name in ["a", "b", "c"] {
        server.client().upload(name, b"bytes");
    }
    server.stop();
    server
        .err
        .wait_for(|line| line.contains("/dev/full") && line.contains("cut off"));
}

#[test]
fn a_trace_that_nobody_reads_stops_no_upload_and_what_is_dropped_is_said() {
    let mut server = Starter::new(&["--trace"]).with_own_stdout().start();
    // A pipe holds 64 KiB, and the queue 1024 lines: this is several times as much.
    let mut client = server.client();
    for n in 0..400 {
        client.upload(&format!("file {n}"), b"bytes");
    }
    drop(client);
    server.stop();
    server
        .err
        .wait_for(|line| line.contains("lines were dropped"));
}

#[test]
fn a_drawing_never_replaces_its_own_trace() {
    let home = tempfile::tempdir().unwrap();
    let trace = home.path().join("trace");
    fs::write(&trace, "a trace").unwrap();
    let linked = home.path().join("linked");
    fs::hard_link(&trace, &linked).unwrap();
    let pointing = home.path().join("pointing");
    std::os::unix::fs::symlink("trace", &pointing).unwrap();
    let text = |path: &Path| path.to_str().expect("it is text").to_owned();
    for svg in [&trace, &linked, &pointing] {
        let ran = piecemeal(&["trace", &text(&trace), "--svg", &text(svg)]).exits(2);
        ran.line_with(&["is the trace itself", "name another file"]);
        assert_eq!(fs::read(&trace).unwrap(), b"a trace");
    }
}
