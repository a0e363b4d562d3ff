//! What whoever watches a machine is told: its steps, its faults, how far it has come.

use super::*;
use crate::proto::machine::Progress;

fn progress(begun: u64, within_message: bool, under_way: bool) -> Progress {
    Progress {
        begun,
        within_message,
        under_way,
    }
}

#[test]
fn progress_tells_what_a_stop_would_cut_off() {
    let mut rig = Rig::new(rules());
    assert_eq!(rig.machine.progress(), progress(0, false, false));
    rig.feed(&string("a")[..1]);
    assert_eq!(rig.machine.progress(), progress(1, true, true));
    rig.feed(&string("a")[1..]);
    assert_eq!(
        rig.machine.progress(),
        progress(1, false, true),
        "an upload is announced"
    );
    rig.late = true;
    rig.feed(&data(b"12")[..3]);
    assert_eq!(rig.machine.progress(), progress(2, true, true));
    rig.feed(b"2");
    assert_eq!(
        rig.machine.progress(),
        progress(2, false, true),
        "it is being stored"
    );
    rig.stored();
    assert_eq!(rig.machine.progress(), progress(2, false, false));

    let mut rig = Rig::new(rules());
    rig.feed(&[string("taken"), data(b"12")[..3].to_vec()].concat());
    assert_eq!(
        rig.machine.progress(),
        progress(2, true, true),
        "a refused body is still to be read"
    );
}

#[test]
fn what_is_not_answered_yet_is_under_way_and_what_is_being_closed_is_not() {
    let mut rig = Rig::new(Rules {
        strings: crate::proto::Strings::Message,
        ..rules()
    });
    rig.deaf = true;
    rig.feed(&string("hello"));
    assert_eq!(rig.machine.progress(), progress(1, false, true));
    rig.deaf = false;
    rig.settle();
    assert_eq!(rig.machine.progress(), progress(1, false, false));
    rig.feed(&[0]);
    assert_eq!(rig.log.last(), Some(&Event::FinishSending));
    assert_eq!(rig.machine.progress(), progress(2, false, false));
    rig.end();
    assert_eq!(rig.log.last(), Some(&Event::Closed));
    assert_eq!(rig.machine.progress(), progress(2, false, false));
}

#[test]
fn steps_and_faults_are_told_to_whoever_asked_for_them_and_kept_for_nobody_else() {
    for wanted in [true, false] {
        let rules = Rules {
            trace: wanted,
            tell_faults: wanted,
            ..Rules::default()
        };
        let mut machine = Receiver::new(Arc::new(rules), Moment::START);
        assert_eq!((machine.poll_step(), machine.poll_fault()), (None, None));
        machine.handle_bytes(&[1], Moment::START);
        let step = machine.poll_step().map(|step| step.to_string());
        assert_eq!(step, wanted.then(|| "ReadType --Type--> ReadLen".into()));
        machine.handle_bytes(&[255, 255], Moment::START);
        let fault = Fault::BadLength {
            length: 65_535,
            limit: 4096,
        };
        assert_eq!(machine.poll_fault(), wanted.then_some(fault));
        let step = machine.poll_step().map(|step| step.to_string());
        assert_eq!(step, wanted.then(|| "ReadLen --Length--> Drain".into()));
        assert_eq!((machine.poll_step(), machine.poll_fault()), (None, None));
    }
}

#[test]
fn a_fault_of_the_store_is_told_as_well() {
    let mut rig = Rig::new(Rules {
        tell_faults: true,
        ..rules()
    });
    rig.feed(&[string("unknown"), data(b"1")].concat());
    assert_eq!(rig.machine.poll_fault(), Some(Fault::Unknown));
}

#[test]
fn a_pause_of_ours_is_not_counted_as_the_peers() {
    let mut rig = Rig::new(rules());
    rig.feed(&data(b"12")[..1]);
    rig.machine.handle_own_pause(Duration::from_secs(20));
    rig.pass(Duration::from_secs(29));
    assert_eq!(rig.replies().len(), 0);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.statuses(), ["ERR timeout"]);
}

#[test]
fn a_position_says_how_much_of_what_is_waited_for_has_come() {
    let mut rig = Rig::new(rules());
    let shown = |rig: &Rig| {
        let position = rig.machine.position();
        (position.state, position.have, position.need)
    };
    assert_eq!(shown(&rig), ("ReadType", 0, Some(1)));
    rig.feed(&[1, 10]);
    assert_eq!(shown(&rig), ("ReadLen", 1, Some(2)));
    rig.feed(&[0, b't', b'a', b'k']);
    assert_eq!(shown(&rig), ("ReadText", 3, Some(10)));
    let mut rig = Rig::new(rules());
    rig.feed(&[string("taken"), data(b"1234567")[..5].to_vec()].concat());
    assert_eq!(shown(&rig), ("Skip", 3, Some(7)));
    let mut rig = Rig::new(rules());
    rig.feed(&[put(&resumable("left")), data(b"3456")[..5].to_vec()].concat());
    assert_eq!(shown(&rig), ("ReadBody", 5, Some(6)));
}
