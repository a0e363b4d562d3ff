//! The checker checked: servers with one mistake each, of kinds that are really made, and that
//! each is caught by the case meant for it, with words that lead to the mistake. Their twins
//! without it pass the same cases.

#![cfg(target_os = "linux")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use common::{PROGRAM, command, skipped};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// Checks that run at once. They mostly wait for servers that keep silent.
const AT_ONCE: usize = 6;

/// A whole run waits for many things, one after the other; on a machine that does ten things at
/// once it may take minutes, and still be right.
const GUARD: Duration = Duration::from_secs(600);
/// A busy machine may join pieces that were sent apart, which hides a mistake, or be too late with
/// them, which it says. Then it is asked again.
const TRIES: usize = 3;

/// A server with a mistake, and how it is to be seen.
struct Broken {
    /// Its file in tests/lab/broken.
    file: &'static str,
    /// Its twin without the mistake, in tests/lab/right.
    twin: &'static str,
    /// The case that catches it. What stands before the dot is the task.
    caught_by: &'static str,
    /// `fail`, or `weak` where the task leaves it open.
    verdict: &'static str,
    /// Words of what the report says is the likely mistake.
    says: &'static str,
    /// A case that the mistake has nothing to do with.
    passes: &'static str,
}

const fn broken(
    file: &'static str,
    twin: &'static str,
    caught_by: &'static str,
    verdict: &'static str,
    says: &'static str,
    passes: &'static str,
) -> Broken {
    Broken {
        file,
        twin,
        caught_by,
        verdict,
        says,
        passes,
    }
}

#[rustfmt::skip]
const BROKEN: &[Broken] = &[
    broken("hello_no_prefix", "hello", "hello.1", "weak", "the text comes back, but not as", "hello.2"),
    broken("hello_waits_for_the_end", "hello", "hello.3", "weak", "reads on until the client ends its stream", "hello.1"),
    broken("task1_binds_again", "task1", "1.2", "fail", "bound to the port again", "1.1"),
    broken("task1_closes_the_listener", "task1", "1.2", "fail", "listens for one connection only", "1.1"),
    broken("task1_reads_first", "task1", "1.1", "fail", "not closed until the client speaks", "1.8"),
    broken("task2_one_at_a_time", "task2", "2.4", "fail", "called instead of handed over", "2.2"),
    broken("task3_decodes_pieces", "task3", "3.9", "fail", "each piece is decoded on its own", "3.5"),
    broken("task3_no_answer", "task3", "3.3", "fail", "no answer is sent at all", "3.17"),
    broken("task3_one_at_a_time", "task3", "3.15", "fail", "a second client waits for the first", "3.1"),
    broken("task3_one_receive", "task3", "3.4", "fail", "cut at the first segment", "3.1"),
    broken("task3_resets", "task3", "3.2", "fail", "a reset instead of an end", "3.1"),
    broken("task4_answers", "task4", "4.17", "weak", "the sheet asks for no answer here", "4.1"),
    broken("task4_dies_with_a_client", "task4_selectors", "4.23", "fail", "does not survive a client that resets", "4.1"),
    broken("task4_one_name", "task4", "4.11", "fail", "a fixed file name", "4.1"),
    broken("task4_one_receive", "task4", "4.7", "fail", "cut at 4096", "4.1"),
    broken("task4_short_read_ends", "task4", "4.10", "fail", "less than the buffer's size", "4.1"),
    broken("task4_type_and_text_together", "task4", "4.13", "fail", "cut at the first segment", "4.2"),
    broken("task4_type_stored", "task4", "4.1", "fail", "the type byte is stored with the data", "4.12"),
    broken("task5_big_endian", "task5", "5.8", "fail", "the wrong byte order", "5.7"),
    broken("task5_body_in_one_receive", "task5", "5.3", "fail", "recv(n) is taken to bring n bytes", "5.1"),
    broken("task5_empty_file_lost", "task5", "5.6", "fail", "if not data", "5.7"),
    broken("task5_four_bytes_for_three", "task5", "5.10", "fail", "more or fewer bytes of length", "5.8"),
    broken("task5_keeps_short_files", "task5", "5.15", "fail", "kept although bytes are missing", "5.1"),
    broken("task5_length_in_one_receive", "task5", "5.4", "fail", "both bytes of the length", "5.1"),
    broken("task5_refuses_the_largest", "task5", "5.7", "fail", "255 taken for too large", "5.8"),
    broken("task5_trailing_bytes", "task5", "5.14", "fail", "trailing bytes reject a good file", "5.1"),
    broken("task6_framed_bare_ok", "task6_framed", "6.2", "fail", "the answer is the bare text", "6.47"),
    broken("task6_framed_one_at_a_time", "task6_framed", "6.30", "fail", "a second client waits for the first", "6.1"),
    broken("task6_framed_rest_lost", "task6_framed", "6.9", "fail", "a name mixed with what follows it", "6.1"),
    broken("task6_u1_answers_twice", "task6_u1", "6.3", "fail", "a reply sent where none is due", "6.1"),
    broken("task6_u1_left_open", "task6_u1", "6.23", "fail", "an exception ended this connection's thread: ConnectionError: the client ended", "6.1"),
    broken("task6_u1_name_with_type", "task6_u1", "6.5", "weak", "type and name are taken by one recv", "6.1"),
    broken("task6_u1_ok_and_newline", "task6_u1", "6.2", "fail", "a line's end", "6.47"),
    broken("task6_u1_spins", "task6_u1", "6.47", "fail", "end of stream not noticed", "6.1"),
    broken("task6_u2_absolute_name", "task6_u2", "6.38", "fail", "a leading / in a name", "6.36"),
    broken("task6_u2_half_a_file", "task6_u2", "6.22", "fail", "kept although bytes are missing", "6.1"),
    broken("task6_u2_name_and_more", "task6_u2", "6.9", "fail", "a name mixed with what follows it", "6.1"),
    broken("task6_u2_one_file_a_connection", "task6_u2", "6.26", "weak", "after one file", "6.1"),
    broken("task6_u2_one_name_for_all", "task6_u2", "6.29", "fail", "in a global variable", "6.1"),
    broken("task6_u2_other_name", "task6_u2", "6.1", "fail", "stored under another name", "6.3"),
    broken("task6_u2_parent_folder", "task6_u2", "6.36", "fail", "../ in a name", "6.1"),
    broken("task6_u2_whole_file_in_memory", "task6_u2", "6.46", "weak", "memory as large as the file", "6.1"),
];

/// All that some of these mistakes make of a whole run.
const NOTHING_ELSE: &[(&str, &[&str])] = &[
    ("hello_waits_for_the_end", &["hello.3"]),
    ("task3_decodes_pieces", &["3.6", "3.9"]),
    ("task3_one_at_a_time", &["3.15"]),
    ("task4_answers", &["4.17"]),
    ("task4_dies_with_a_client", &["4.23"]),
    ("task4_one_name", &["4.11"]),
    ("task5_empty_file_lost", &["5.6"]),
    ("task5_trailing_bytes", &["5.14"]),
    ("task6_framed_rest_lost", &["6.9"]),
    ("task6_u2_absolute_name", &["6.38"]),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/lab")
        .join(name)
}

fn python_is_missing() -> bool {
    let there = Command::new("python3").arg("--version").output();
    let missing = !there.is_ok_and(|there| there.status.success());
    if missing {
        skipped("no python3 here: the servers in Python were not run");
    }
    missing
}

/// A port that nobody else is given while this is there. A server that says SO_REUSEADDR, as
/// Python's `create_server` does, can listen at it all the same.
struct ReservedPort(Socket);

impl ReservedPort {
    fn new() -> ReservedPort {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free port");
        ReservedPort(socket)
    }

    fn number(&self) -> u16 {
        let bound = self.0.local_addr().expect("it is bound");
        bound.as_socket().expect("TCP").port()
    }
}

/// What the checker says of a server, case by case, and its exit code.
struct Report {
    cases: BTreeMap<String, Value>,
    code: Option<i32>,
}

impl Report {
    /// Has a server checked by some cases of a task, or by all if none are named. Asks again where
    /// something could not be told, or where one of `caught` was not.
    fn of(file: &Path, task: &str, cases: &BTreeSet<&str>, caught: &[&str]) -> Report {
        let mut report = Report::once(file, task, cases);
        for _ in 1..TRIES {
            let told = |case: &String| report.verdict(case) != "cant_tell";
            let missed = |case: &&str| report.verdict(case) == "pass";
            if !report.cases.keys().all(told) || caught.iter().any(missed) {
                report = Report::once(file, task, cases);
            }
        }
        report
    }

    fn once(file: &Path, task: &str, cases: &BTreeSet<&str>) -> Report {
        let name = file.file_stem().expect("a name").to_string_lossy();
        // A file's name says its grammar where there is a choice.
        let mut parts = name.split('_');
        let grammar = parts.find(|part| ["u2", "framed"].contains(part));
        let port = ReservedPort::new();
        let number = port.number();
        let mut checker = command(PROGRAM);
        checker.args(["lab", "check", "--json", "--task", task]);
        checker.args(["--grammar", grammar.unwrap_or("u1")]);
        checker.arg("--start");
        checker.arg(format!("exec python3 '{}' {number}", file.display()));
        for case in cases {
            checker.args(["--only", case]);
        }
        checker.arg(format!("127.0.0.1:{number}"));
        let output = assert_cmd::Command::from_std(checker)
            .timeout(GUARD)
            .output()
            .expect("the program starts");
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}: {output:#?}"));
        let cases = document["cases"].as_array().expect("cases").iter();
        let by_number = |case: &Value| {
            (
                case["id"].as_str().expect("a number").to_owned(),
                case.clone(),
            )
        };
        Report {
            cases: cases.map(by_number).collect(),
            code: output.status.code(),
        }
    }

    fn verdict(&self, case: &str) -> &str {
        self.cases[case]["verdict"].as_str().expect("a word")
    }
}

/// The task that a case is of.
fn task_of(case: &str) -> &str {
    case.split('.').next().expect("a task")
}

/// What is wrong each of three times. On a machine that does ten things at once a cut may not be a
/// cut: two pieces meet in the server's buffer, and its mistake doesn't show.
fn persistent(once: impl Fn() -> Vec<String>) -> Vec<String> {
    let tries = (0..3).map(|_| once());
    let mut last = Vec::new();
    for wrong in tries {
        if wrong.is_empty() {
            return wrong;
        }
        last = wrong;
    }
    last
}

/// Does something for each of many, some of them at once. Returns what was wrong.
fn for_each<T: Sync>(all: &[T], one: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let rest = Mutex::new(all.iter());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = rest.lock().expect("nobody panics with it").next();
                    let Some(item) = next else { break };
                    let found = persistent(|| one(item));
                    wrong.lock().expect("nobody panics with it").extend(found);
                }
            });
        }
    });
    wrong.into_inner().expect("nobody panics with it")
}

#[test]
fn each_mistake_is_caught_by_the_case_meant_for_it() {
    if python_is_missing() {
        return;
    }
    let wrong = for_each(BROKEN, |broken| {
        let file = folder("broken").join(broken.file).with_extension("py");
        let cases = BTreeSet::from([broken.caught_by, broken.passes]);
        let report = Report::of(
            &file,
            task_of(broken.caught_by),
            &cases,
            &[broken.caught_by],
        );
        let mut wrong = Vec::new();
        let caught = &report.cases[broken.caught_by];
        if report.verdict(broken.caught_by) != broken.verdict {
            wrong.push(format!(
                "{}: not {}: {caught:#}",
                broken.file, broken.verdict
            ));
        }
        let said = caught["finding"]["mistake"].as_str().unwrap_or_default();
        if !said.contains(broken.says) {
            wrong.push(format!(
                "{}: says nothing of {:?}: {caught:#}",
                broken.file, broken.says
            ));
        }
        if report.verdict(broken.passes) != "pass" {
            wrong.push(format!(
                "{}: {:#}",
                broken.file, report.cases[broken.passes]
            ));
        }
        let code = if broken.verdict == "fail" { 1 } else { 0 };
        if report.code != Some(code) {
            wrong.push(format!("{}: exit code {:?}", broken.file, report.code));
        }
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_mistake_has_nothing_to_do_with_passes() {
    if python_is_missing() {
        return;
    }
    let wrong = for_each(NOTHING_ELSE, |(file, expected)| {
        let path = folder("broken").join(file).with_extension("py");
        let report = Report::of(&path, task_of(expected[0]), &BTreeSet::new(), expected);
        let caught = report.cases.keys().map(String::as_str);
        let caught: BTreeSet<&str> = caught
            .filter(|case| report.verdict(case) != "pass")
            .collect();
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        let differ = caught.symmetric_difference(&expected);
        differ
            .map(|case| format!("{file}: {:#}", report.cases[*case]))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn their_twins_without_the_mistake_pass_the_same_cases() {
    if python_is_missing() {
        return;
    }
    let mut twins: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for broken in BROKEN {
        twins
            .entry(broken.twin)
            .or_default()
            .extend([broken.caught_by, broken.passes]);
    }
    let twins: Vec<(&str, BTreeSet<&str>)> = twins.into_iter().collect();
    let wrong = for_each(&twins, |(twin, cases)| {
        let file = folder("right").join(twin).with_extension("py");
        let task = task_of(cases.first().expect("a case"));
        let report = Report::of(&file, task, cases, &[]);
        let others = report
            .cases
            .values()
            .filter(|case| case["verdict"] != "pass");
        others.map(|case| format!("{twin}: {case:#}")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_server_is_run_says_what_it_is_and_marks_its_one_mistake() {
    let files = |name: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder(name)).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| path.extension().is_some_and(|ending| ending == "py"))
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    };
    let run: BTreeSet<String> = BROKEN.iter().map(|broken| broken.file.to_owned()).collect();
    assert_eq!(files("broken"), run);
    let run: BTreeSet<String> = BROKEN.iter().map(|broken| broken.twin.to_owned()).collect();
    assert_eq!(files("right"), run);
    for broken in BROKEN {
        let path = folder("broken").join(broken.file).with_extension("py");
        let text = fs::read_to_string(&path).expect("a server");
        for (part, times) in [
            ("\nGrammar", 1),
            ("\nThe mistake: ", 1),
            ("# the mistake: ", 1),
        ] {
            assert_eq!(
                text.matches(part).count(),
                times,
                "{}: {part:?}",
                path.display()
            );
        }
    }
}
