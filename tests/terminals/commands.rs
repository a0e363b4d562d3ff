//! What somebody else has set: settings, variables, and words of the command line that a shell has
//! put there for `*`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::evil::{NO_UTF8, forgery, scalars, tricks};
use crate::screen::Screen;
use crate::{run, run_on_terminal, texts_for_arguments};

/// Words that are put together with a text to make a command line. `@` stands for the text, and `%` for
/// a folder.
const LINES: [&[&str]; 27] = [
    &["@"],
    &["--@"],
    &["serve", "--@"],
    &["serve", "@"],
    &["serve", "--flat=@"],
    &["serve", "--bind", "@"],
    &["serve", "--bind", "unix:/dev/null/@"],
    &["serve", "--dir", "/dev/null/@", "--bind", "127.0.0.1:0"],
    &["serve", "--max-size", "@"],
    &["serve", "--on-conflict", "@"],
    &["serve", "--config", "/dev/null/@"],
    &[
        "serve",
        "--journal",
        "/dev/null/@",
        "--bind",
        "127.0.0.1:0",
        "--dir",
        "%",
    ],
    &["serve", "--dir", "@", "--print-config"],
    &["send", "--to", "@", "x"],
    &["send", "--to", "unix:/dev/null/@", "/dev/null"],
    &["send", "--@", "x"],
    &["send", "--name", "@", "--dry-run", "/dev/null"],
    &["send", "--retries", "0", "/dev/null/@"],
    &["send", "--receipts", "/dev/null/@", "x"],
    &["say", "--to", "unix:/dev/null/@", "x"],
    &["verify", "--receipts", "/dev/null/@", "/dev/null/@"],
    &["verify", "--receipts", "/dev/null", "/dev/null/@"],
    &["trace", "/dev/null/@"],
    &["lab", "check", "--task", "@"],
    &["lab", "client", "--task", "@"],
    &["bench", "--name-prefix", "@"],
    &["completions", "@"],
];

fn filled(line: &[&str], text: &OsStr, folder: &Path) -> Vec<OsString> {
    let fill = |word: &&str| match word.split_once('@') {
        None if *word == "%" => folder.into(),
        Some((before, behind)) => {
            let mut filled = OsString::from(before);
            filled.push(text);
            filled.push(behind);
            filled
        }
        None => OsString::from(word),
    };
    line.iter().map(fill).collect()
}

/// Texts for arguments, and bytes that are none.
fn words() -> Vec<OsString> {
    let no_text = NO_UTF8.map(|bytes| OsString::from_vec(bytes.to_vec()));
    texts_for_arguments()
        .into_iter()
        .map(OsString::from)
        .chain(no_text)
        .collect()
}

/// All tricks in one word, for lines that needn't be told apart.
fn all_in_one() -> OsString {
    let mut all = tricks().concat().into_bytes();
    all.extend(NO_UTF8.concat());
    all.extend(forgery().into_bytes());
    OsString::from_vec(all)
}

#[test]
fn words_of_the_command_line_are_shown_as_plain_text() {
    let screen = Screen::new();
    let home = tempfile::tempdir().expect("a folder");
    for line in LINES {
        let few = [all_in_one(), tricks().concat().into(), forgery().into()];
        let words = if crate::takes_all() {
            words()
        } else {
            few.to_vec()
        };
        for word in words {
            let printed = run(&filled(line, &word, home.path()), &[], b"");
            let what = format!("{line:?}");
            printed.is_something(&what);
            screen.takes(&what, &printed.out);
            screen.takes(&what, &printed.err);
        }
    }
}

/// Where there is a terminal, clap writes colours, and takes away none.
#[test]
fn words_of_the_command_line_are_shown_as_plain_text_on_a_terminal() {
    let screen = Screen::new();
    let home = tempfile::tempdir().expect("a folder");
    for line in &LINES[..10] {
        for word in [tricks().concat(), forgery()] {
            let words = filled(line, word.as_ref(), home.path());
            let Some(shown) = run_on_terminal(&words) else {
                return;
            };
            assert!(!shown.is_empty(), "{line:?}: nothing was shown");
            screen.takes_with_own_sequences(&format!("{line:?}"), &shown);
        }
    }
}

#[test]
fn variables_are_shown_as_plain_text() {
    let screen = Screen::new();
    let names = [
        "RUST_LOG",
        "RUST_LOG_STYLE",
        "PIECEMEAL_BIND",
        "PIECEMEAL_DIR",
        "PIECEMEAL_MAX_SIZE",
        "PIECEMEAL_ON_CONFLICT",
        "PIECEMEAL_CONFIG",
        "PIECEMEAL_WORKERS",
        "PIECEMEAL_FLAT",
        "PIECEMEAL_ON_STORED",
        "PIECEMEAL_TRACE_FILE",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
    ];
    for name in names {
        for value in [
            all_in_one(),
            tricks().concat().into(),
            format!("=,{}=/[", tricks().concat()).into(),
        ] {
            for line in [
                &["serve", "--help"][..],
                &["serve", "--print-config"],
                &["serve", "--journal", "/dev/null/x"],
            ] {
                let bind: &OsStr = "unix:/dev/null/x".as_ref();
                let variables = [("PIECEMEAL_BIND", bind), (name, value.as_os_str())];
                let printed = run(line, &variables, b"");
                let what = format!("{name}, {line:?}");
                printed.is_something(&what);
                screen.takes(&what, &[printed.out, printed.err].concat());
            }
        }
    }
}

#[test]
fn a_file_of_settings_is_shown_as_plain_text() {
    let screen = Screen::new();
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("settings.toml");
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for trick in tricks()
        .into_iter()
        .chain([forgery()])
        .chain([scalars(60_000)[0].clone()])
    {
        let string = serde_json::to_string(&trick)
            .expect("a string")
            .replace("\\b", "\\u0008");
        for text in [
            trick.clone(),
            format!("[serve]\n{string} = 1"),
            format!("[serve]\ndir = {string}\non-conflict = \"rename\""),
            format!("[serve]\non-conflict = {string}"),
            format!("[serve]\nbind = [{string}, 1]"),
            format!("[{string}]\n{string} = {string}"),
            format!("[serve]\nmax-size = '{trick}'"),
            format!("# {trick}\n[serve]\nnowhere = 1"),
        ] {
            texts.push(text.into_bytes());
        }
    }
    texts.extend(NO_UTF8.map(|bytes| [b"[serve]\ndir = \"", bytes, b"\""].concat()));
    for text in texts {
        fs::write(&file, &text).expect("written");
        for more in ["--print-config", "--help"] {
            let arguments = [
                "serve".as_ref(),
                "--config".as_ref(),
                file.as_os_str(),
                more.as_ref(),
            ];
            let printed = run(&arguments, &[], b"");
            let shown = text.escape_ascii().to_string();
            printed.is_something(&shown);
            screen.takes(&shown, &[&printed.out[..], &printed.err].concat());
            if more == "--print-config" && printed.code == Some(0) {
                // What is printed sets the same again.
                fs::write(&file, &printed.out).expect("written");
                let again = run(&arguments, &[], b"");
                let settings = |printed: &[u8]| -> Vec<String> {
                    let text = String::from_utf8_lossy(printed).into_owned();
                    text.lines()
                        .map(|line| line.split("  # ").next().unwrap_or("").to_owned())
                        .collect()
                };
                assert_eq!(settings(&again.out), settings(&printed.out), "{shown}");
                fs::write(&file, &text).expect("written");
            }
        }
    }
}
