//! Tasks 1 to 3, and the texts of 4 to 6.

use super::*;

#[test]
fn tasks_1_and_2_say_who_came_and_end_without_a_byte() {
    for task in [Task::One, Task::Two] {
        let mut rig = Rig::new(task);
        assert_eq!(rig.remarks, ["connected"]);
        assert!(rig.shut);
        rig.feed("what it says is thrown away").end();
        assert!(rig.is_closed());
        assert_eq!(rig.answers(), "");
    }
}

#[test]
fn a_text_is_answered_when_its_stream_ends_or_it_falls_silent() {
    for task in [Task::Hello, Task::Three] {
        let words = if task == Task::Hello {
            "I have received: "
        } else {
            "Message: "
        };
        let mut ended = Rig::new(task);
        ended.feed_singly("héllo").end();
        let mut silent = Rig::new(task);
        silent.feed("hé").feed("llo").silence();
        for mut rig in [ended, silent] {
            assert_eq!(rig.answers(), format!("{words}héllo"));
            assert_eq!(rig.shown, ["héllo"]);
            rig.end();
            assert!(rig.is_closed());
        }
    }
}

#[test]
fn a_pause_before_the_first_byte_is_no_end() {
    let mut rig = Rig::new(Task::Three);
    rig.wait(Duration::from_secs(60)).feed("late").silence();
    assert_eq!(rig.answers(), "Message: late");
}

#[test]
fn a_bare_connection_and_a_lone_type_are_dropped_without_a_word() {
    for task in Task::ALL.into_iter().filter(|task| *task >= Task::Three) {
        let mut bare = Rig::new(task);
        bare.end();
        assert!(bare.is_closed() && bare.answers().is_empty() && bare.shown.is_empty());
    }
    for task in [Task::Four, Task::Five, Task::Six] {
        let mut lone = Rig::new(task);
        lone.feed([1]).silence().end();
        assert!(lone.is_closed(), "{task}");
        assert!(lone.answers().is_empty() && lone.shown.is_empty());
    }
}

#[test]
fn a_framed_text_gets_a_framed_answer() {
    let mut rig = Rig::new(Task::Three);
    rig.feed_singly(b"\x01\x05\0hello").end();
    assert_eq!(rig.answers, b"\x01\x0e\0Message: hello");
    let mut strict = Rig::with(Settings {
        strict: true,
        ..Settings::of(Task::Three)
    });
    strict.feed(b"\x01\x05\0hello");
    assert_eq!(strict.answers, b"\x01\x0e\0Message: hello");
}

#[test]
fn a_long_text_is_answered_up_to_its_limit() {
    let mut rig = Rig::new(Task::Three);
    rig.feed("€".repeat(2000)).end();
    assert_eq!(rig.answers(), format!("Message: {}", "€".repeat(1365)));
}

#[test]
fn every_authors_text_is_shown() {
    for task in [Task::Four, Task::Five] {
        for (bytes, answer) in [
            (&b"\x01hello"[..], ""),
            (b"\x00hello", ""),
            (b"\x01\x05\0hello", ""),
            (b"1hello", "Message: hello"),
        ] {
            let mut rig = Rig::new(task);
            rig.feed_singly(bytes).end();
            assert_eq!(rig.shown, ["hello"], "{bytes:?}");
            assert_eq!(rig.answers(), answer, "{bytes:?}");
            assert!(rig.is_closed());
            // One that waits for the server to close.
            let mut rig = Rig::new(task);
            rig.feed(bytes).silence();
            assert_eq!(rig.shown, ["hello"]);
            assert!(rig.shut);
        }
    }
}

#[test]
fn what_ends_with_the_stream_was_a_text_and_no_name() {
    let mut rig = Rig::new(Task::Six);
    rig.feed("\x01hello").end();
    assert_eq!((rig.shown, rig.stored.len()), (vec!["hello".into()], 0));
}
