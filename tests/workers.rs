//! Several loops at one address: `serve --workers`.

mod common;

use common::{PROGRAM, Server, command, data, put, string};
use rustix::process::Signal;

#[test]
fn several_loops_serve_one_address_and_stop_together() {
    let mut server = Server::start(&["--workers", "3"]);
    std::thread::scope(|scope| {
        for number in 0..24 {
            let mut client = server.client();
            scope.spawn(move || {
                for file in 0..10 {
                    client.upload(&format!("{number}-{file}"), format!("{number}").as_bytes());
                }
            });
        }
    });
    assert_eq!(server.names().len(), 240);
    server.stop();
    let lines = server.err.to_end();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("stopped; 240 files stored")),
        "{lines:#?}"
    );
}

#[test]
fn a_second_server_does_not_share_the_address_of_another() {
    let server = Server::start(&["--workers", "2"]);
    for workers in ["1", "2"] {
        let mut second = command(PROGRAM);
        let dir = server.home().join("second");
        second.args(["serve", "--workers", workers, "--bind", server.address()]);
        let output = second.arg("--dir").arg(dir).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("listen"), "{said}");
    }
    server.client().upload("a.txt", b"still served");
}

#[test]
fn what_can_not_be_shared_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = format!("unix:{}", folder.path().join("socket").display());
    for (arguments, code, word) in [
        (vec!["--bind", &socket], 1, "TCP"),
        (vec!["--bind", "127.0.0.1:0", "--trace"], 2, "--trace"),
    ] {
        let mut serve = command(PROGRAM);
        serve
            .args(["serve", "--workers", "2", "--dir"])
            .arg(folder.path());
        let output = serve.args(arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn what_any_loop_has_under_way_is_finished_before_the_end() {
    let mut server = Server::start(&["--workers", "2", "--shutdown-timeout", "0"]);
    let mut clients: Vec<_> = (0..12).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(string(format!("{number}")));
        client.ok();
    }
    server.signal(Signal::TERM);
    server.err.wait_for(|line| line.starts_with("stopping"));
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(data(b"late, and in time"));
        client.receipt(&format!("{number}"), 17);
    }
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.names().len(), 12);
}

#[test]
fn a_second_signal_is_heard_though_the_loop_that_hears_signals_has_nothing_left_to_do() {
    // Which loop has the connection is the system's choice: one of these is with the other.
    for _ in 0..6 {
        let mut server = Server::start(&["--workers", "2", "--shutdown-timeout", "0"]);
        let mut client = server.client();
        client.send([put("name=held\nend=explicit"), data("first")].concat());
        client.ok();
        client.ok();
        server.signal(Signal::TERM);
        server.err.wait_for(|line| line.starts_with("stopping"));
        for _ in 0..10 {
            client.send(data("more"));
            client.ok();
        }
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(143));
        assert!(server.names().is_empty());
    }
}
