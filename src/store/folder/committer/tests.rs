//! What a batch is told, and which numbers its names get.

use super::*;
use crate::proto::name::NameRules;
use crate::store::folder::tests::{durable, unfit};
use crate::store::folder::together::Together;
use std::fs::File;
use std::io::Write;

#[test]
fn whoever_has_a_name_is_told_unknown_where_its_folder_did_not_sync() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let receipt = Receipt {
        name: "a".into(),
        size: 0,
        digest: None,
        durable: true,
    };
    let mut results = vec![Ok(Placed::New(receipt)), Err(Error::Exists)];
    let failed = Err(io::Error::from_raw_os_error(5));
    all_or_unknown(&root, failed, &mut results);
    assert!(matches!(
        results[..],
        [Err(Error::Unknown(_)), Err(Error::Exists)]
    ));
    assert!(root.has_failed(), "nothing can be promised any more");
}

/// A durable root whose machine is as calm, or as busy, as a test wants it.
fn root_on(home: &tempfile::TempDir, is_calm: bool) -> Root {
    let mut root = durable(home);
    let mut table = tempfile::tempfile().expect("a file");
    let waiting = if is_calm { 0 } else { 1 << 30 };
    write!(table, "Dirty: {waiting} kB\nWriteback: 0 kB\n").expect("written");
    root.syncing.together = Some(Together::reading(table));
    root
}

/// A complete upload of nothing. What is `synced` has only its name to get.
fn job(unfinished: Unfinished, name: &str, synced: bool) -> Job {
    let rules = NameRules {
        allow_hidden: false,
        allow_folders: true,
    };
    Job {
        unfinished: Arc::new(unfinished),
        name: Some(Name::parse(name, rules).expect("a good name")),
        conflict: Conflict::Error,
        metadata: Metadata::default(),
        written: 0,
        chase: None,
        synced,
        compared: false,
        peer: None,
        seal: Seal::default(),
        key: Key {
            connection: 1,
            ticket: 1,
        },
    }
}

/// How each of a batch of such files ends.
fn ends(committing: &mut Committing, root: &Root, jobs: Vec<Job>) -> Vec<&'static str> {
    let end = |done| match done {
        Done::Stored(_, Ok(_)) => "stored",
        Done::Stored(_, Err(Error::Io { doing, .. })) => doing,
        Done::Stored(_, Err(Error::Unknown(_))) => "unknown",
        Done::Stored(_, Err(Error::Failed)) => "failed",
        _ => "otherwise",
    };
    committing.commit(root, jobs).into_iter().map(end).collect()
}

#[test]
fn where_the_common_sync_of_a_batch_fails_none_gets_a_name_and_a_busy_machine_uses_none() {
    for (is_calm, end) in [(true, "sync a file"), (false, "unknown")] {
        let home = tempfile::tempdir().expect("a folder");
        let mut root = root_on(&home, is_calm);
        // Neither all that it has can be synced now nor its names; the files can, each by itself.
        root.folder = unfit(&root, ".");
        let made = |name: &str| job(root.create().expect("a file"), name, false);
        let jobs = vec![made("a"), made("b")];
        assert_eq!(ends(&mut Committing::new(2), &root, jobs), [end; 2]);
        assert_eq!(home.path().join("a").exists(), !is_calm);
        assert!(root.has_failed());
    }
}

#[test]
fn names_whose_links_need_a_sync_get_it_in_common_where_that_is_sooner() {
    for (is_calm, end) in [(true, "unknown"), (false, "stored")] {
        let home = tempfile::tempdir().expect("a folder");
        let mut root = root_on(&home, is_calm);
        root.syncing.links_need_it = true;
        let mut committing = Committing::new(2);
        let first = vec![job(root.create().expect("a file"), "a/1", false)];
        assert_eq!(ends(&mut committing, &root, first), ["stored"]);
        // From here on the root can't be synced, nor all of it; what is in it can.
        root.folder = unfit(&root, ".");
        let made = |name: &str| job(root.create().expect("a file"), name, true);
        let jobs = vec![made("a/2"), made("a/3")];
        assert_eq!(ends(&mut committing, &root, jobs), [end; 2]);
        assert_eq!(root.has_failed(), is_calm);
    }
}

#[test]
fn a_file_whose_link_can_not_be_synced_is_unknown_and_the_others_are_stored() {
    for needs_it in [true, false] {
        let home = tempfile::tempdir().expect("a folder");
        let mut root = root_on(&home, false);
        root.syncing.links_need_it = needs_it;
        std::fs::write(home.path().join("other"), "").expect("written");
        let file = File::from(unfit(&root, "other"));
        let good = job(root.create().expect("a file"), "good", true);
        let bad = job(Unfinished::new(file, None), "bad", true);
        let expected = if needs_it { "unknown" } else { "stored" };
        let ends = ends(&mut Committing::new(2), &root, vec![bad, good]);
        assert_eq!(ends, [expected, "stored"]);
        assert_eq!(root.has_failed(), needs_it);
    }
}

#[test]
fn a_large_file_is_not_safe_once_a_sync_has_failed_for_whoever_followed_it() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    let mut small = job(root.create().expect("a file"), "small", false);
    let mut large = job(root.create().expect("a file"), "large", false);
    large.chase = Some(Arc::new(Chase::new(Arc::clone(&large.unfinished), false)));
    root.set_failed();
    // The worker has heard of it, and the file's descriptor won't tell of it once more.
    assert!(matches!(large.sync(&root), Err(Error::Failed)));
    assert!(!large.synced);
    // Nobody else has synced this one.
    small.sync(&root).expect("its own sync says");
    assert!(small.synced);
    let mut unasked = job(root.create().expect("a file"), "third", false);
    let made = unasked.make_safe(&root, &mut []);
    assert!(matches!(made, Err(Error::Failed)), "it is not even tried");
}

#[test]
fn a_large_file_that_can_not_be_synced_or_lacks_a_byte_is_not_safe() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    let mut short = job(root.create().expect("a file"), "short", false);
    short.seal.size = 1;
    assert!(short.make_safe(&root, &mut []).is_err());
    assert!(!short.synced && !root.has_failed());
    std::fs::write(home.path().join("other"), "").expect("written");
    let file = File::from(unfit(&root, "other"));
    let mut bad = job(Unfinished::new(file, None), "bad", false);
    assert!(bad.make_safe(&root, &mut []).is_err());
    assert!(!bad.synced && root.has_failed());
}

#[test]
fn the_loop_gives_only_a_flat_name_that_it_need_not_look_for_and_that_replaces_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    let made = |name: Option<&str>, conflict| {
        let mut job = job(root.create().expect("a file"), name.unwrap_or("any"), true);
        job.conflict = conflict;
        if name.is_none() {
            job.name = None;
        }
        job.is_done_soon()
    };
    assert!(made(Some("a"), Conflict::Error) && made(None, Conflict::Error));
    assert!(made(None, Conflict::Rename), "none has a random name");
    assert!(!made(Some("a"), Conflict::Rename) && !made(Some("a"), Conflict::Overwrite));
    assert!(!made(Some("a/b"), Conflict::Error));
}

#[test]
fn a_batch_takes_what_waits_until_it_is_full() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    let shared = Arc::new(root.create().expect("a file"));
    let jobs = |count: usize| -> Vec<Job> {
        // They share a file: a test may not have so many open.
        let one = |_| {
            let mut job = job(root.create().expect("a file"), "a", true);
            job.unfinished = Arc::clone(&shared);
            job
        };
        (0..count).map(one).collect()
    };
    for (waiting, expected) in [([200, 54, 7], 262), ([200, 55, 7], 256), ([1, 1, 1], 4)] {
        let (send, waits) = std::sync::mpsc::channel();
        for count in waiting {
            send.send(jobs(count)).expect("it waits");
        }
        let mut batch = jobs(1);
        gather(&waits, &mut batch, &Last::default());
        assert_eq!(batch.len(), expected, "{waiting:?}");
    }
}

#[test]
fn where_nothing_is_promised_of_a_power_cut_no_file_is_synced() {
    let home = tempfile::tempdir().expect("a folder");
    let mut root = root_on(&home, false);
    root.durable = false;
    std::fs::write(home.path().join("other"), "").expect("written");
    let file = File::from(unfit(&root, "other"));
    let mut unfit = job(Unfinished::new(file, None), "a", false);
    unfit.make_safe(&root, &mut []).expect("nobody syncs it");
    assert!(!root.has_failed());
}

#[test]
fn a_digest_that_nobody_has_taken_on_the_way_is_taken_at_the_end() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    for (bytes, is_right) in [(b"right", true), (b"wrong", false)] {
        let mut large = job(root.create().expect("a file"), "a", false);
        (&large.unfinished.file).write_all(bytes).expect("written");
        large.written = 5;
        large.seal = Seal {
            size: 5,
            digest: Some(Digest(blake3::hash(b"right").into())),
        };
        large.chase = Some(Arc::new(Chase::new(Arc::clone(&large.unfinished), false)));
        let safe = large.make_safe(&root, &mut digest::block());
        assert_eq!(safe.is_ok(), is_right, "{safe:?}");
    }
}

#[test]
fn what_overwrites_is_no_twin_even_of_the_same_bytes() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    std::fs::write(home.path().join("a"), "bytes").expect("written");
    for (conflict, is_found) in [(Conflict::Overwrite, false), (Conflict::Error, true)] {
        let mut again = job(root.create().expect("a file"), "a", true);
        again.conflict = conflict;
        again.written = 5;
        again.seal.digest = Some(Digest(blake3::hash(b"bytes").into()));
        let twin = again.twin(&root, &mut digest::block());
        assert_eq!(twin.expect("it can be read").is_some(), is_found);
    }
}

#[test]
fn a_batch_waits_for_a_part_of_what_the_last_one_took_and_never_long() {
    let now = Instant::now();
    let wait = |took: u64| {
        let took = Duration::from_micros(took);
        (Last { files: 2, took }.until(now) - now).as_micros()
    };
    assert_eq!(
        [0, 4, 4000, 7999, 8000, 8001].map(wait),
        [0, 1, 1000, 1999, 2000, 2000]
    );
    assert_eq!(wait(60_000_000), 2000);
    let files = 2;
    let last = Last {
        files,
        took: Duration::ZERO,
    };
    assert_eq!(
        [0, 1, 2, 3].map(|files| last.awaits(files)),
        [true, true, false, false]
    );
}

#[test]
fn a_batch_of_which_one_is_bad_has_only_the_others_synced_and_stored() {
    // Three are one sync for all where the machine is calm, and one for each where it isn't.
    for is_calm in [true, false] {
        let home = tempfile::tempdir().expect("a folder");
        let root = root_on(&home, is_calm);
        let made = |name: &str| job(root.create().expect("a file"), name, false);
        let mut bad = made("bad");
        bad.seal.size = 1;
        let jobs = vec![made("a"), bad, made("b")];
        let expected = ["stored", "count bytes", "stored"];
        assert_eq!(ends(&mut Committing::new(2), &root, jobs), expected);
        assert!(!root.has_failed() && !home.path().join("bad").exists());
    }
}

#[test]
fn only_who_is_awaited_is_waited_for() {
    let (send, jobs) = std::sync::mpsc::channel();
    let now = Instant::now();
    for is_awaited in [true, false] {
        assert!(more(&jobs, is_awaited, now).is_none());
        send.send(Vec::new()).expect("it waits");
        assert!(more(&jobs, is_awaited, now).is_some());
    }
    let later = std::thread::spawn(move || send.send(Vec::new()));
    // However late that is, it comes.
    let long = Duration::from_secs(3600);
    assert!(more(&jobs, true, now + long).is_some());
    later.join().expect("it ends").expect("it was awaited");
}

#[test]
fn a_digest_that_was_taken_on_the_way_is_not_taken_again() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    let mut large = job(root.create().expect("a file"), "a", false);
    (&large.unfinished.file)
        .write_all(b"right")
        .expect("written");
    large.written = 5;
    large.seal = Seal {
        size: 5,
        digest: Some(Digest(blake3::hash(b"right").into())),
    };
    let chase = Chase::new(Arc::clone(&large.unfinished), true);
    let mut block = digest::block();
    chase.follow(&root, 5, &mut block).expect("it is read");
    large.chase = Some(Arc::new(chase));
    // Who reads it once more finds this.
    let file = &large.unfinished.file;
    std::os::unix::fs::FileExt::write_all_at(file, b"wrong", 0).expect("written");
    large.make_safe(&root, &mut block).expect("it was right");
}

/// Its own sync of that folder finds nothing to do: the kernel has told somebody else of the loss.
#[test]
fn a_name_is_unknown_where_a_folder_has_failed_to_sync_for_somebody_else() {
    for is_folder in [true, false] {
        let home = tempfile::tempdir().expect("a folder");
        let root = root_on(&home, false);
        let (mut folders, mut numbers) = (Folders::new(2), Numbers::default());
        // From here on the root itself needs no sync.
        std::fs::create_dir(home.path().join("a")).expect("made");
        let first = root.create().expect("a file");
        folders.place(&root, &first, "a/0").expect("placed");
        folders.sync(&root).expect("a good disk");
        let batch = [job(root.create().expect("a file"), "a/1", true)];
        let placed = batch[0].place(&root, &mut folders, &mut numbers, &mut []);
        let mut results = [placed];
        match is_folder {
            true => root.set_folder_failed(),
            false => root.set_failed(),
        }
        sync_names(&root, &mut folders, &batch, &mut results);
        let is_unknown = matches!(results[0], Err(Error::Unknown(_)));
        assert_eq!(is_unknown, is_folder, "{results:?}");
    }
}

#[test]
fn what_was_synced_before_a_sync_has_failed_gets_no_name_behind_it() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    root.set_failed();
    let jobs = vec![job(root.create().expect("a file"), "a", true)];
    assert_eq!(ends(&mut Committing::new(2), &root, jobs), ["failed"]);
    assert!(!home.path().join("a").exists());
}

/// Each was looked for when the other had no name yet.
#[test]
fn a_large_file_that_another_try_has_stored_meanwhile_is_compared_before_it_is_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let root = root_on(&home, false);
    let size = IN_ORDER_SIZE + 1;
    std::fs::write(home.path().join("a"), "").expect("written");
    for conflict in [Conflict::Error, Conflict::Rename] {
        let mut large = job(root.create().expect("a file"), "a", true);
        large.unfinished.file.set_len(size).expect("a hole");
        let mut block = digest::block();
        let digest = digest::of_file(&large.unfinished.file, size, &mut block);
        large.seal = Seal {
            size,
            digest: Some(digest.expect("it can be read")),
        };
        (large.written, large.conflict) = (size, conflict);
        let mut committing = Committing::new(2);
        assert!(committing.commit(&root, vec![large]).is_empty());
        let again = committing.to_compare.pop().expect("it is to be compared");
        let first = std::fs::File::create(home.path().join("a")).expect("ours");
        first.set_len(size).expect("a hole");
        assert!(again.twin(&root, &mut block).expect("readable").is_some());
        // One that is another's is no twin, and that is said once.
        let ends = committing.commit(&root, vec![again]);
        let is_stored =
            matches!(&ends[..], [Done::Stored(_, Ok(receipt))] if receipt.name == "a (2)");
        assert_eq!(is_stored, conflict == Conflict::Rename, "{ends:?}");
        assert!(committing.to_compare.is_empty());
    }
}
