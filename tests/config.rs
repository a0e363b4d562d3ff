//! Settings from a file: what goes before what, what a fault in it says, and that what is printed
//! can be taken back.

mod common;

use std::fs;
use std::path::Path;

use common::{PROGRAM, Ran, Starter, command, piecemeal};
use tempfile::TempDir;

/// A folder with one file of settings.
fn written(text: &str) -> (TempDir, String) {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("settings.toml");
    fs::write(&path, text).expect("a file");
    let path = path.display().to_string();
    (home, path)
}

/// What a line of the printed settings sets a key to, and where that is said to be from.
fn printed(ran: &Ran, key: &str) -> (String, String) {
    let start = format!("{key} = ");
    let mut lines = ran.out.lines();
    let line = lines.find_map(|line| line.strip_prefix(&start));
    let (value, source) = line
        .and_then(|line| line.split_once("  # "))
        .unwrap_or_else(|| panic!("{key} is missing: {ran:#?}"));
    (value.to_owned(), source.to_owned())
}

#[test]
fn a_flag_goes_before_a_variable_a_variable_before_the_file_and_the_file_before_the_default() {
    let (_home, path) = written(
        "[serve]\nmax-size = 10\nmin-rate = \"5\"\nidle-timeout = \"1h\"\nmax-connections = 7\n\
         [send]\ntimeout = \"never read here\"",
    );
    let server = Starter::new(&["--config", &path, "--idle-timeout", "3h"])
        .variable("PIECEMEAL_MIN_RATE", "6")
        .variable("PIECEMEAL_IDLE_TIMEOUT", "2h")
        .start();
    let limits = "limits: size 10 B; connections 7; header 10s; stall 1m; idle 3h; slowest 6 B/s; ";
    server.err.wait_for(|line| line.starts_with(limits));
}

#[test]
fn the_file_can_be_named_by_a_variable_and_says_where_each_setting_is_from() {
    let (_home, path) = written("[serve]\n\nmax-size = \"10GiB\"\nquiet = true\nmin-rate = 1");
    let ran = run(
        &["serve", "--print-config", "--idle-timeout", "1h"],
        &[
            ("PIECEMEAL_CONFIG", &path),
            ("PIECEMEAL_QUIET", "no"),
            ("PIECEMEAL_MIN_RATE", "2"),
        ],
    );
    for (key, value, source) in [
        ("max-size", "\"10GiB\"", format!("from {path}:3")),
        ("idle-timeout", "\"1h\"", "from the flag".to_owned()),
        (
            "min-rate",
            "2",
            "from the variable PIECEMEAL_MIN_RATE".to_owned(),
        ),
        (
            "quiet",
            "false",
            "from the variable PIECEMEAL_QUIET".to_owned(),
        ),
        ("workers", "1", "default".to_owned()),
        ("bind", "[\"127.0.0.1:9000\"]", "default".to_owned()),
    ] {
        assert_eq!(printed(&ran, key), (value.to_owned(), source), "{key}");
    }
    assert!(ran.out.contains("\n# trace-file is not set\n"), "{ran:#?}");
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = command(PROGRAM);
    let command = command.args(arguments).envs(variables.iter().copied());
    let output = command.output().expect("it starts");
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
    .exits(0)
}

#[test]
fn what_is_printed_can_be_taken_back_and_is_printed_the_same() {
    // With every kind of value, and some that TOML has to write in another way.
    for arguments in [
        &["serve"][..],
        &[
            "serve",
            "--bind",
            "127.0.0.1:1,[::1]:2",
            "--bind",
            "unix:/tmp/a \"b\"\\c",
            "-vv",
        ],
        &[
            "serve",
            "--dir",
            "a\tb",
            "--trace-file",
            "12",
            "--accept-eof",
            "--max-size",
            "1.5GiB",
        ],
        &[
            "send",
            "--name",
            "007",
            "-j",
            "3",
            "--on-conflict",
            "rename",
        ],
        &["say", "--pieces", "1,2,3"],
        &[
            "bench",
            "--mix",
            "slow=1,abort=2",
            "--size",
            "1KiB-2KiB",
            "--files",
            "5",
        ],
        &["lab", "serve"],
        &["lab", "serve", "--task", "3"],
        &["lab", "check", "--only", "6.1,6.2"],
        &["trace", "--width", "60"],
    ] {
        let first = piecemeal(&[arguments, &["--print-config"]].concat()).exits(0);
        let (_home, path) = written(&first.out);
        let command: Vec<&str> = arguments
            .iter()
            .take_while(|word| !word.starts_with('-'))
            .copied()
            .collect();
        let again = [&command[..], &["--config", &path, "--print-config"]].concat();
        let second = piecemeal(&again).exits(0);
        let settings = |ran: &Ran| -> Vec<String> {
            let lines = ran.out.lines().map(|line| match line.rsplit_once("  # ") {
                Some((setting, _)) => setting.to_owned(),
                None => line.to_owned(),
            });
            lines.collect()
        };
        assert_eq!(settings(&first), settings(&second));
        // All of it is from the file now, so a third time nothing at all differs.
        assert!(!second.out.contains("# default"), "{second:#?}");
        fs::write(&path, &second.out).unwrap();
        assert_eq!(piecemeal(&again).exits(0).out, second.out);
    }
}

#[test]
fn a_fault_in_the_file_is_named_with_its_line_and_nothing_is_begun() {
    for (text, line, says) in [
        (
            "[serve]\nmax-szie = \"1GiB\"",
            2,
            &["[serve] has no key max-szie", "max-size?"][..],
        ),
        (
            "[serve]\nquiet = true\n[sned]",
            3,
            &["no table [sned]", "[send]?"],
        ),
        (
            "[serve]\nmax-size = \"ten\"",
            2,
            &["serve.max-size = \"ten\"", "try 64KiB"],
        ),
        (
            "[serve]\nbind = [\"127.0.0.1\"]",
            2,
            &["serve.bind", "try 127.0.0.1:9000"],
        ),
        (
            "[serve]\non-conflict = \"merge\"",
            2,
            &["error, rename, overwrite"],
        ),
        (
            "[serve]\naccept-eof = 1",
            2,
            &["serve.accept-eof = 1", "true or false"],
        ),
        ("\nmax-size = 1", 2, &["stands in no table", "[serve]"]),
        ("[serve]\nmax-size = ", 2, &[]),
    ] {
        let (home, path) = written(text);
        let dir = home.path().join("made");
        let ran = piecemeal(&[
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--dir",
            &dir.display().to_string(),
            "--config",
            &path,
        ]);
        let ran = ran.exits(2);
        let place = format!("piecemeal: {path}:{line}: ");
        ran.line_with(&[&[&*place], says].concat());
        assert!(!dir.exists());
    }
}

#[test]
fn a_file_that_can_not_be_read_is_named_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing.toml");
    let binary = home.path().join("binary.toml");
    fs::write(&binary, b"\xff").unwrap();
    for (path, says) in [
        (missing.as_path(), "No such file"),
        (home.path(), "directory"),
        (&binary, "UTF-8"),
        (Path::new("/dev/zero"), "too large"),
    ] {
        let path = path.display().to_string();
        let ran = piecemeal(&["serve", "--print-config", "--config", &path]).exits(2);
        ran.line_with(&["piecemeal: ", &path, says]);
    }
}

#[test]
fn settings_are_taken_by_every_command_that_has_some_and_by_no_other() {
    for (table, arguments) in [
        ("lab.serve", &["lab", "serve"][..]),
        ("lab.check", &["lab", "check"]),
    ] {
        let (_home, path) = written(&format!("[{table}]\ntask = 3"));
        let ran = piecemeal(&[arguments, &["--print-config", "--config", &path]].concat());
        assert_eq!(printed(&ran.exits(0), "task").0, "3");
    }
    piecemeal(&["demo", "--config", "x"]).exits(2);
    // A file with nothing for this command is none of its business.
    let (_home, path) = written("[serve]\nquiet = true");
    piecemeal(&["say", "--config", &path, "--print-config"]).exits(0);
}

#[test]
fn scripts_for_shells_and_pages_are_whole_and_a_reader_may_leave_early() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = piecemeal(&["completions", shell]).exits(0).out;
        assert!(
            script.contains("print-config") && script.contains("lab"),
            "{shell}"
        );
    }
    let page = piecemeal(&["man"]).exits(0).out;
    assert!(
        page.starts_with(".ie") && page.contains(".TH piecemeal 1"),
        "{page}"
    );
    let home = tempfile::tempdir().unwrap();
    let pages = home.path().join("new/pages");
    piecemeal(&["man", &pages.display().to_string()]).exits(0);
    for page in ["piecemeal.1", "piecemeal-serve.1", "piecemeal-lab-check.1"] {
        let text = fs::read_to_string(pages.join(page)).expect(page);
        assert!(
            text.contains("PIECEMEAL_") || page == "piecemeal.1",
            "{page}"
        );
    }
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let ran = piecemeal(&["man", &file.display().to_string()]).exits(1);
    ran.line_with(&[&file.display().to_string()]);
    for arguments in [
        &["completions", "bash"][..],
        &["man"],
        &["serve", "--print-config"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(PROGRAM);
        let output = command.args(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stderr, b"", "{output:?}");
    }
    if Path::new("/dev/full").exists() {
        let script = format!("{PROGRAM:?} man >/dev/full");
        let output = command("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}
