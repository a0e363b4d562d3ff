//! Opening uploads: who is told what, and what is left where nobody wants one any more.

use super::super::root::Naming;
use super::super::tests::durable;
use super::super::{Durability, Space};
use super::*;
use crate::proto::{Name, UploadId};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::channel;

const KEY: Key = Key {
    connection: 1,
    ticket: 1,
};
const UPLOAD: &str = "id.upload";
const RECORD: &str = "id.record";

/// The thread's things without the thread.
struct Bench {
    opener: Opener,
    looks: Receiver<Look>,
    news: Receiver<Done>,
    home: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let home = tempfile::tempdir().expect("a folder");
        let root = Root::open(home.path(), Durability::Full, Naming::Best, None);
        let (look, looks) = channel();
        let (report, news) = channel();
        let opener = Opener {
            root: Arc::new(root.expect("it opens")),
            looks: look,
            reports: Reports::new(report),
            waiting: Vec::new(),
        };
        Bench {
            opener,
            looks,
            news,
            home,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(".piecemeal").join(name)
    }

    /// An upload of so many bytes that is under way.
    fn begun(&mut self, bytes: &[u8]) -> Opened {
        let (resume, place) = resume(Some(6));
        self.opener.open(resume);
        assert!(matches!(
            self.news.try_recv(),
            Ok(Done::Resumed(KEY, Ok(0)))
        ));
        let opened = Arc::into_inner(place).and_then(OnceLock::into_inner);
        let opened = opened.expect("it is open");
        (&opened.unfinished.file).write_all(bytes).expect("written");
        opened
    }

    fn record(&self) -> String {
        fs::read_to_string(self.path(RECORD)).expect("there is one")
    }
}

fn facts(size: Option<u64>) -> Facts {
    Facts {
        id: UploadId::parse("id").expect("an id"),
        name: Name::parse("a", Default::default()).expect("a name"),
        size,
    }
}

/// What asks for an upload, and where it waits for it.
fn resume(size: Option<u64>) -> (Resume, Arc<OnceLock<Opened>>) {
    let place = Arc::default();
    let resume = Resume {
        facts: facts(size),
        digest: None,
        key: KEY,
        opened: Arc::downgrade(&place),
        waits_since: None,
    };
    (resume, place)
}

#[test]
fn an_upload_that_nobody_wants_any_more_is_not_opened_and_nobody_hears_of_it() {
    let mut bench = Bench::new();
    let (resume, place) = resume(Some(6));
    drop(place);
    bench.opener.open(resume);
    assert!(bench.news.try_recv().is_err());
    assert!(!bench.path(UPLOAD).exists());
}

#[test]
fn an_upload_that_is_given_up_while_it_is_opened_is_put_away() {
    for is_late in [true, false] {
        let mut bench = Bench::new();
        let Opened { unfinished, .. } = bench.begun(b"123");
        assert!(bench.record().contains("state=open\n"));
        let offset = 3;
        let opened = Opened { unfinished, offset };
        match is_late {
            true => hand_over(&bench.opener.root, &Weak::new(), opened),
            // It goes when it was seen to be there.
            false => put_into(&bench.opener.root, Arc::default(), opened),
        }
        let record = bench.record();
        assert!(record.contains("state=closed\nsynced=3\n"), "{record}");
        assert_eq!(fs::read(bench.path(UPLOAD)).expect("there"), b"123");
    }
}

/// To reserve changes the file's time, and the record of one that was put away says which that is. A
/// power cut in between would leave a partial that nobody trusts.
#[test]
fn space_is_reserved_for_one_that_is_gone_on_with_when_its_new_record_is_there() {
    let mut bench = Bench::new();
    let root = Arc::clone(&bench.opener.root);
    let opened = bench.begun(b"123");
    put_away(&root, &opened.unfinished, 3);
    assert!(bench.record().contains("state=closed\n"));
    let too_much = Some(1 << 60);
    let prepared = prepare(&root, &opened.unfinished, too_much, 3);
    assert!(
        matches!(prepared, Err(Error::Full(_) | Error::TooBig)),
        "{prepared:?}"
    );
    assert!(bench.record().contains("state=open\n"));
}

#[test]
fn one_that_somebody_holds_is_waited_for_and_told_when_it_is_free() {
    let mut bench = Bench::new();
    let held = bench.begun(b"123");
    let (resume, place) = resume(Some(6));
    bench.opener.open(resume);
    assert!(bench.news.try_recv().is_err() && bench.opener.waiting.len() == 1);
    put_away(&bench.opener.root, &held.unfinished, 3);
    drop(held);
    let waiting = bench.opener.waiting.pop().expect("it waits");
    bench.opener.open(waiting);
    let told = bench.news.try_recv();
    assert!(matches!(told, Ok(Done::Resumed(KEY, Ok(3)))), "{told:?}");
    assert_eq!(place.get().map(|opened| opened.offset), Some(3));
}

#[test]
fn one_that_was_waited_for_and_is_gone_is_looked_for_under_its_name() {
    for digest in [None, Some(Digest([7; 32]))] {
        let mut bench = Bench::new();
        let (mut resume, _place) = resume(Some(6));
        resume.digest = digest;
        resume.waits_since = Some(Instant::now());
        bench.opener.open(resume);
        assert!(!bench.path(UPLOAD).exists(), "it is not begun anew");
        match digest {
            // There is nothing that it could be known by.
            None => assert!(matches!(
                bench.news.try_recv(),
                Ok(Done::Looked(KEY, Ok(None)))
            )),
            Some(_) => {
                let look = bench.looks.try_recv().expect("it is looked for");
                assert_eq!((look.name.as_str(), Some(look.digest)), ("a", digest));
            }
        }
        assert!(bench.news.try_recv().is_err());
    }
}

#[test]
fn after_a_failed_sync_none_is_opened() {
    let mut bench = Bench::new();
    bench.opener.root.set_failed();
    let (resume, place) = resume(Some(6));
    bench.opener.open(resume);
    let told = bench.news.try_recv();
    assert!(matches!(told, Ok(Done::Resumed(_, Err(Error::Failed)))));
    assert!(place.get().is_none());
    let again = plain(&bench.opener.root, None, Error::Held);
    assert!(matches!(again, Err(Error::Held)), "nor one that isn't kept");
}

#[test]
fn a_new_one_for_which_there_is_no_room_leaves_nothing() {
    for is_limited in [true, false] {
        let mut bench = Bench::new();
        let root = Arc::clone(&bench.opener.root);
        let folder = root.folder.try_clone().expect("a descriptor");
        if is_limited {
            root.limit(Space::open(folder, Some(5), None).expect("counted"));
        }
        let size = if is_limited { 6 } else { 1 << 60 };
        let (resume, _place) = resume(Some(size));
        bench.opener.open(resume);
        match bench.news.try_recv() {
            Ok(Done::Resumed(_, Err(Error::Quota { limit: 5 }))) => assert!(is_limited),
            Ok(Done::Resumed(_, Err(Error::Full(_) | Error::TooBig))) => assert!(!is_limited),
            other => panic!("{other:?}"),
        }
        assert!(!bench.path(UPLOAD).exists() && !bench.path(RECORD).exists());
    }
}

#[test]
fn a_partial_is_the_open_file_only_while_its_name_leads_to_it() {
    let mut bench = Bench::new();
    let opened = bench.begun(b"123");
    let work = bench.opener.root.shared_work().expect("there");
    let file = &opened.unfinished.file;
    let has = || still_has_name(file, &work, UPLOAD).expect("it can be looked at");
    assert!(has());
    fs::write(bench.path("other"), "123").expect("written");
    fs::rename(bench.path("other"), bench.path(UPLOAD)).expect("moved");
    assert!(!has(), "another has it");
    fs::remove_file(bench.path(UPLOAD)).expect("there");
    assert!(!has(), "none has it");
}

#[test]
fn a_partial_is_not_offered_while_a_sync_fails_for_somebody_else() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let unfinished = root.create().expect("a file");
    (&unfinished.file).write_all(b"123").expect("written");
    prepare(&root, &unfinished, None, 3).expect("a good disk");
    root.set_failed();
    let prepared = prepare(&root, &unfinished, None, 3);
    assert!(matches!(prepared, Err(Error::Failed)), "{prepared:?}");
}
