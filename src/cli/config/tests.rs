//! Settings of made-up commands, so that nothing here changes with the program's.

use clap::{Arg, ArgAction, Command, value_parser};
use proptest::prelude::*;

use super::file::{File, Setting};
use super::{Parsed, Stop, complete, parse};

/// A command with every kind of flag, one below another, and one without any.
fn commands() -> Command {
    let flags = [
        Arg::new("size").long("max-size").default_value("1"),
        Arg::new("list")
            .long("list")
            .action(ArgAction::Append)
            .value_delimiter(','),
        Arg::new("switch")
            .long("switch")
            .env("CONFIG_TEST_SWITCH")
            .action(ArgAction::SetTrue),
        Arg::new("count")
            .long("count")
            .action(ArgAction::Count)
            .value_parser(value_parser!(u8)),
        Arg::new("number")
            .long("number")
            .value_parser(value_parser!(u16).range(1..10)),
        Arg::new("choice")
            .long("choice")
            .value_parser(["one", "two"]),
        Arg::new("file"),
    ];
    let inner = Command::new("inner").arg(Arg::new("task").long("task").required(true));
    let all = Command::new("test")
        .subcommand(Command::new("run").args(flags))
        .subcommand(Command::new("outer").subcommand(inner))
        .subcommand(Command::new("bare"));
    complete(all)
}

fn settings(text: &str) -> Result<Vec<Setting>, String> {
    File::of(text).settings(&commands(), &["run".to_owned()])
}

fn parsed(text: &str, words: &[&str]) -> Result<Parsed, Stop> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.toml");
    std::fs::write(&path, text).expect("a file");
    let mut all = vec!["test".into()];
    all.extend(words.iter().map(Into::into));
    all.extend(["--config".into(), path.into()]);
    parse(&commands(), &all)
}

#[test]
fn values_of_every_kind_are_read_as_they_would_have_been_typed() {
    let text = "[run]\nmax-size = \"10\"\nlist = [\"a\", 0x10]\nswitch = true\ncount = 2\n\
                number = 7\nchoice = 'two'\n[outer.inner]\ntask = 3\n[bare]";
    // A command without flags has no table, not even an empty one.
    assert!(settings(text).is_err_and(|why| why.contains("[bare]")));
    let read = settings(&text.replace("[bare]", "")).expect("it is good");
    let shown: Vec<_> = read
        .iter()
        .map(|setting| (&*setting.id, setting.values.join(" "), setting.line))
        .collect();
    let expected = [
        ("size", "10", 2),
        ("list", "a 16", 3),
        ("switch", "true", 4),
        ("count", "2", 5),
        ("number", "7", 6),
        ("choice", "two", 7),
    ];
    assert_eq!(shown.len(), expected.len());
    for (shown, (id, values, line)) in shown.into_iter().zip(expected) {
        assert_eq!(shown, (id, values.to_owned(), line));
    }
}

#[test]
fn every_fault_names_its_line_and_what_would_do() {
    for (text, line, says) in [
        ("[run]\nmax-szie = 1", 2, "did you mean max-size?"),
        ("[run]\nzzz = 1", 2, "there are max-size, list, switch"),
        ("[run]\nconfig = 'x'", 2, "has no key config"),
        ("[run]\nfile = 'x'", 2, "has no key file"),
        ("\n[rum]", 2, "did you mean [run]?"),
        ("[outer.iner]", 1, "did you mean [outer.inner]?"),
        ("[outer]\ntask = 1", 2, "[outer.inner]"),
        ("max-size = 1", 1, "[run], [outer]"),
        ("run = 1", 1, "write [run]"),
        ("[[run]]", 1, "write [run]"),
        ("[run.list]", 1, "run.list is a key and no table"),
        ("[run]\nlist = []", 2, "leave the key out"),
        ("[run]\nlist = [true]", 2, "no switch"),
        ("[run]\nswitch = 'yes'", 2, "true or false"),
        ("[run]\nmax-size = [1]", 2, "no list"),
        ("[run]\nmax-size = 1979-05-27", 2, "in quotes"),
        ("[run]\ncount = 256", 2, "256 is not in 0..=255"),
        ("[run]\nnumber = 10", 2, "10 is not in 1..10"),
        ("[run]\nchoice = 'three'", 2, "it is one of one, two"),
        ("[run]\nchoice = ''", 2, "it is one of one, two"),
        ("[run]\nswitch = true\nswitch = true", 3, "duplicate key"),
        ("[run", 1, "unclosed table"),
        ("[run]\n\"\\u001b[2J\" = 1", 2, "\\u{1b}[2J"),
        // The first fault of the file is told, whatever the order of the alphabet.
        ("[run]\nzzz = 1\naaa = 1", 2, "no key zzz"),
    ] {
        let why = settings(text).expect_err(text);
        let start = format!("test.toml:{line}: ");
        assert!(
            why.starts_with(&start) && why.contains(says),
            "{text}: {why}"
        );
        assert!(!why.contains(char::is_control), "{why:?}");
    }
}

#[test]
fn a_flag_that_is_needed_may_stand_in_the_file() {
    let words = ["outer", "inner"];
    assert!(matches!(parsed("", &words), Err(Stop::Usage(_))));
    let Parsed { matches, .. } = parsed("[outer.inner]\ntask = 3", &words).expect("it is good");
    let (_, outer) = matches.subcommand().expect("it was called");
    let (_, inner) = outer.subcommand().expect("it was called");
    assert_eq!(
        inner.get_one::<String>("task").map(String::as_str),
        Some("3")
    );
}

#[test]
fn settings_that_differ_are_told_and_taken_over() {
    let of = |text| parsed(text, &["run"]).expect("it is good").settings;
    let (mut one, other) = (
        of("[run]\nnumber = 1"),
        of("[run]\nnumber = 2\nswitch = true"),
    );
    let differing = |one: &super::Settings, other| -> Vec<String> {
        one.differing(other).map(str::to_owned).collect()
    };
    assert_eq!(differing(&one, &other), ["switch", "number"]);
    one.take(&other, &["number".to_owned()]);
    assert_eq!(differing(&one, &other), ["switch"]);
}

/// A value of the file that some flag of the program takes.
const CANDIDATES: [&str; 11] = [
    "true",
    "2",
    "60",
    "'2s'",
    "'127.0.0.1:1'",
    "'1B/1ms'",
    "'1,2'",
    "'slow=1'",
    "'u2'",
    "'x'",
    "'/x'",
];

#[test]
fn every_flag_of_the_program_can_be_set_in_the_file() {
    let commands = crate::cli::commands();
    let mut below = vec![(Vec::new(), &commands)];
    let mut seen = 0;
    while let Some((table, command)) = below.pop() {
        for command in command.get_subcommands() {
            let name = command.get_name().to_owned();
            below.push(([table.clone(), vec![name]].concat(), command));
        }
        for arg in super::known::settings(command) {
            let key = super::known::key(arg);
            let own: Vec<String> = (arg.get_possible_values().iter())
                .map(|value| format!("'{}'", value.get_name()))
                .collect();
            let mut candidates = own.iter().map(String::as_str).chain(CANDIDATES);
            let taken = candidates.find_map(|value| {
                let text = format!("[{}]\n{key} = {value}", table.join("."));
                File::of(&text).settings(&commands, &table).ok()
            });
            let taken = taken.unwrap_or_else(|| panic!("{table:?} takes nothing for {key}"));
            assert_eq!(taken.len(), 1, "{key}");
            let with = super::with_defaults(commands.clone(), &table, &taken);
            // It is found to be at odds with nothing else that clap knows of the flag.
            with.debug_assert();
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} were seen");
}

/// Text that looks like a file of settings, more or less.
fn almost_toml() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "run|outer|inner|max-size|list|switch|count|number|choice|task",
        "[a-z-]{1,8}",
    ];
    let value = prop_oneof![
        "-?[0-9]{1,30}|0x[0-9a-f]{1,40}|true|false|nan|-?inf|[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "\"[^\"\\\\]{0,9}\"|\\[[0-9, ]{0,9}\\]|\\{ ?a ?= ?1 ?\\}|\"\\\\u[0-9a-f]{4}\"",
    ];
    let line = prop_oneof![
        word.clone().prop_map(|word| format!("[{word}]")),
        (word.clone(), word.clone()).prop_map(|(one, two)| format!("[{one}.{two}]")),
        (word, value).prop_map(|(word, value)| format!("{word} = {value}")),
    ];
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![almost_toml(), ".{0,200}"]) {
        let read = settings(&text);
        if let Err(why) = read {
            prop_assert!(why.starts_with("test.toml:"));
        }
    }
}
