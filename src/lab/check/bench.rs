//! What a case works with: the server under test, and everything it can be looked at with.

use std::sync::Arc;
use std::time::Duration;

use super::console::{Console, LINE, exception, peer_has_left, tail};
use super::folder::{Folder, Snapshot};
use super::message::Message;
use super::probe::{CUT, ENDED, Ending, NOTHING, Probe};
use super::proc;
use super::program::Program;
use super::shown::{bytes, quoted, seconds};
use super::transcript::{Mark, Side};
use super::verdict::{Finding, Outcome, Verdict};
use super::watch::Watch;
use crate::lab::{Grammar, Task};
use crate::net::Address;

/// How long something that must not happen is waited for.
pub const ABSENCE: Duration = Duration::from_millis(300);

/// How long a server that serves nobody any more may take to die.
const DYING: Duration = Duration::from_millis(500);
/// How long a server that closes behind a file may take for it before we do.
const LEAVE: Duration = Duration::from_millis(25);
/// How often a case is tried again when this machine was too slow to ask it fairly.
pub const TRIES: usize = 4;
/// Why it can't be told then.
pub const TOO_BUSY: &str =
    "this machine is too busy to send a text in pieces without long pauses; try again";

const DEAD: &str = "; the server is dead";
const GONE: &str = "the server is gone, or listens for one connection only: bind and listen belong before the loop, accept and nothing else into it";
const NO_ANSWER: &str = "no answer is sent at all, whatever the client sends";
/// In guesses at why a connection stays open: a thread that an exception ended asks no more.
const NOT_NOTICED: &str = "not noticed";
const DOES_NOT_SURVIVE: &str = "the server does not survive";

/// What a case works with.
#[derive(Debug)]
pub struct Bench {
    /// Which task's server this is.
    pub task: Task,
    /// How messages are laid out.
    pub grammar: Grammar,
    /// Where it listens.
    pub address: Address,
    /// Where its files land, where that is known.
    pub folder: Option<Folder>,
    /// Its processes, where it was started here.
    pub server: Option<Program>,
    /// How long to wait.
    pub watch: Watch,
    /// Makes this run's names and files differ from those of any other.
    nonce: u32,
    made: u32,
    connections: u8,
    /// What a started server prints in this case.
    console: Option<Arc<Console>>,
    /// The talk that may have killed the server.
    remembered: Vec<String>,
    /// What the case could not look at.
    unseen: Option<String>,
}

impl Bench {
    /// A bench for a server.
    pub fn new(task: Task, grammar: Grammar, address: Address, watch: Watch) -> Bench {
        Bench {
            task,
            grammar,
            address,
            folder: None,
            server: None,
            watch,
            nonce: rand::random(),
            made: 0,
            connections: 0,
            console: None,
            remembered: Vec::new(),
            unseen: None,
        }
    }

    /// Makes ready for the next case.
    pub fn begin(&mut self) {
        self.connections = 0;
        self.remembered.clear();
        self.unseen = None;
        let output = self.server.as_ref().map(Program::output);
        self.console = output.map(|output| Arc::new(Console::new(output)));
    }

    /// What the last case could not look at.
    pub fn unseen(&self) -> Option<&str> {
        self.unseen.as_deref()
    }

    /// Remembers that something could not be looked at: the case can't pass any more.
    pub fn cannot_see(&mut self, why: &str) {
        self.unseen.get_or_insert_with(|| why.to_owned());
    }

    /// Opens a connection. A server that is right always takes one more.
    pub fn connect(&mut self) -> Outcome<Probe> {
        let name = char::from(b'A' + self.connections % 26).to_string();
        self.connections = self.connections.wrapping_add(1);
        let connected = Probe::connect(&name, &self.address, self.watch.clone());
        let mut probe = connected.map_err(|error| {
            Verdict::Fail(Box::new(Finding {
                expected: format!("connection {name} is accepted"),
                got: format!("{error}{}", self.last_words()),
                state: Some("it listens, and accepts whoever comes".to_owned()),
                mistake: Some(GONE.to_owned()),
                talk: Vec::new(),
            }))
        })?;
        probe.console = self.console.clone();
        Ok(probe)
    }

    /// Adds to a failure that a started server is dead, if it is: that may explain more than the
    /// rest. `guess` is the mistake that the case would name.
    pub fn explain(&mut self, finding: &mut Finding, guess: &str) {
        if !finding.got.contains(DEAD) {
            let last_words = self.last_words();
            finding.got.push_str(&last_words);
        }
        if finding.got.starts_with(NOTHING) && self.answers_nobody() {
            finding.mistake = Some(NO_ANSWER.to_owned());
        }
        // A server that a failed case's connections took with them when they ended was alive when
        // it failed: then its end is not the reason.
        let lost = [ENDED, CUT, "refused"];
        // Nor is it where an answer came, and was wrong.
        let answered = finding.got.starts_with('"');
        let lost = !answered && lost.iter().any(|word| finding.got.contains(word));
        let dead = finding.got.contains(DEAD);
        let known = finding.mistake.get_or_insert_with(|| guess.to_owned());
        let survives = !known.starts_with(DOES_NOT_SURVIVE);
        if dead && finding.got.contains("in use") {
            finding.mistake = Some("bound to the port again on each connection: bind and listen belong before the loop, accept and nothing else into it".to_owned());
            return;
        } else if dead && lost && survives {
            finding.mistake = Some(GONE.to_owned());
        }
        self.tell_what_it_printed(finding);
    }

    /// Whether not even the plainest exchange of a task that has answers brings one.
    fn answers_nobody(&mut self) -> bool {
        let has_answers = matches!(self.task, Task::Hello | Task::Three | Task::Six);
        if !has_answers || self.watch.has_answered() {
            return false;
        }
        // What the server prints meanwhile is not about the case.
        let console = self.console.take();
        let served = super::cases::plain_exchange(self);
        self.console = console;
        let silent = |finding: &Finding| finding.got.starts_with(NOTHING);
        !self.watch.has_answered()
            && matches!(served, Err(Verdict::Fail(finding)) if silent(&finding))
    }

    /// Adds what a started server printed since the case began. An exception is known, and the
    /// mistake only guessed: it is named first, and one that it rules out is left out.
    pub fn tell_what_it_printed(&self, finding: &mut Finding) {
        let Some(console) = &self.console else { return };
        let printed = console.printed();
        if !printed.is_empty() && !finding.got.contains(LINE) {
            finding.got.push_str("; meanwhile it printed:");
            finding.got.push_str(&tail(&printed));
        }
        let Some(line) = exception(&printed) else {
            return;
        };
        let dead = finding.got.contains(DEAD);
        let ended = match dead {
            true => "the server",
            false => "this connection's thread",
        };
        if !dead && peer_has_left(&line) {
            return;
        }
        let explained = format!("an exception ended {ended}: {line}");
        finding.mistake = Some(match finding.mistake.take() {
            Some(guess) if !guess.contains(NOT_NOTICED) => {
                format!("{explained}. What may lie behind it: {guess}")
            }
            _ => explained,
        });
    }

    /// What a started server printed last, where it is dead.
    fn last_words(&mut self) -> String {
        let Some(server) = &mut self.server else {
            return String::new();
        };
        // Its end comes a moment after that of its sockets; on a busy machine a long one.
        let within = match self.address {
            Address::Tcp(address) if proc::listens(address) == Some(false) => self.watch.patience(),
            _ => DYING,
        };
        let dead = (self.watch).poll(within, || (!server.runs()).then_some(()));
        if dead.is_none() {
            return String::new();
        }
        format!("{DEAD}{}", server.tail())
    }

    /// Bytes that no other file has, as far as so few can: they don't look like a message, and not
    /// like their own length.
    pub fn body(&mut self, size: usize) -> Vec<u8> {
        self.made += 1;
        let mut state = u64::from(self.nonce) << 32 | u64::from(self.made) << 1 | 1;
        let mut body = vec![0xa5, 0x5a, 0xc3, 0x3c];
        while body.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            body.extend_from_slice(&state.to_le_bytes());
        }
        body.truncate(size);
        body
    }

    /// A file name that no other file of this run or another has.
    pub fn name(&mut self, ending: &str) -> String {
        self.made += 1;
        format!("{}{}{ending}", self.prefix(), self.made)
    }

    /// What all names of this run begin with.
    pub(super) fn prefix(&self) -> String {
        format!("check-{:08x}-", self.nonce)
    }

    /// What is in the folder now.
    pub fn snapshot(&self) -> Snapshot {
        let folder = self.folder.as_ref();
        folder.map(Folder::snapshot).unwrap_or_default()
    }

    /// Expects a file with exactly these bytes, new since `before`, and with this name if there is
    /// one. Waits for it, since nothing else tells when a file is there.
    pub fn expect_stored(
        &mut self,
        probe: &mut Probe,
        before: &Snapshot,
        body: &[u8],
        name: Option<&str>,
    ) -> Outcome {
        let Some(folder) = self.folder.clone() else {
            self.cannot_see(NO_FOLDER);
            return Ok(());
        };
        let named =
            |file: &super::folder::Fresh| name.is_none_or(|name| file.name() == name.as_bytes());
        let found = self.watch.poll(self.watch.patience(), || {
            let fresh = folder.fresh_since(before);
            fresh
                .into_iter()
                .find(|file| named(file) && folder.holds(file, body))
        });
        if found.is_some() {
            return Ok(());
        }
        let fresh = folder.fresh_since(before);
        let what = match name {
            Some(name) => format!(
                "{} with the {} that were sent",
                quoted(name.as_bytes()),
                bytes(body.len())
            ),
            None => format!("a new file with the {} that were sent", bytes(body.len())),
        };
        let expected = format!("{what}, in {}", folder.path().display());
        // The file that was most likely meant to be it: the one of that name, or any.
        let same = fresh.iter().find(|file| folder.holds(file, body));
        if let Some(file) = same {
            let got = format!(
                "the bytes are there, but under the name {}",
                quoted(file.name())
            );
            let mark = Mark::new(Side::Sent, 0, "the name is in this message");
            let verdict = probe.fail_at(&mark, expected, got);
            // One that is still to be renamed has another reason, which the case knows better.
            return Err(if file.says_unfinished() {
                verdict
            } else {
                verdict.mistake("the file is stored under another name than the client gave it, and nobody will find it")
            });
        }
        let Some(file) = fresh.iter().find(|file| named(file)).or(fresh.first()) else {
            return Err(probe.fail_here(
                "all is sent, and no file comes",
                format!("{expected} within {}", seconds(self.watch.patience())),
            ));
        };
        let at = folder.difference(file, body).unwrap_or_default();
        let size = usize::try_from(file.size).unwrap_or(usize::MAX);
        probe
            .transcript
            .stored(&quoted(file.name()), file.size, folder.head(file));
        let word = match (at == size, at == body.len()) {
            (true, _) => "the file ends here, and more was sent",
            (_, true) => "nothing more was sent, but the file goes on",
            _ => "from here on it is not what was sent",
        };
        let got = format!(
            "{} has {}, and differs from what was sent at byte {at}",
            quoted(file.name()),
            bytes(size),
        );
        Err(probe.fail_at(&Mark::new(Side::Stored, at, word), expected, got))
    }

    /// Expects that nothing of an upload was kept that never came to its end.
    pub fn expect_nothing_kept(&mut self, probe: &mut Probe, before: &Snapshot) -> Outcome {
        let Some(folder) = self.folder.clone() else {
            self.cannot_see(NO_FOLDER);
            return Ok(());
        };
        let kept = self.watch.poll(ABSENCE, || {
            let mut fresh = folder.fresh_since(before).into_iter();
            fresh.find(|file| !file.says_unfinished() && file.size > 0)
        });
        // A server that writes as bytes come may have removed it by now.
        let kept = kept.filter(|kept| {
            let gone = self.watch.poll(ABSENCE, || {
                let still = folder.fresh_since(before);
                (!still.iter().any(|file| file.path == kept.path)).then_some(())
            });
            gone.is_none()
        });
        let Some(file) = kept else { return Ok(()) };
        let size = usize::try_from(file.size).unwrap_or(usize::MAX);
        let got = format!("{} with {}", quoted(file.name()), bytes(size));
        probe
            .transcript
            .stored(&quoted(file.name()), file.size, folder.head(&file));
        Err(probe
            .fail_here(
                "here the stream ends, and the length promised more",
                "no file: its bytes are not all there",
            )
            .got(got)
            .mistake("the file kept although bytes are missing: nobody compares what came with the length"))
    }

    /// Keeps what was said on a connection, to be shown if the server turns out not to have survived
    /// it.
    pub fn remember(&mut self, probe: &Probe) {
        self.remembered = probe.transcript.lines(None);
    }

    /// Expects that the next client is served: the task's plainest exchange, whatever came before.
    pub fn expect_still_serving(&mut self, after: &str) -> Outcome {
        // The queue of a server that is just dying still takes a client, and resets it. So more than
        // one has to be served.
        let served = (0..3).try_for_each(|_| super::cases::plain_exchange(self));
        served.map_err(|verdict| match verdict {
            Verdict::Fail(mut finding) => {
                finding.expected = format!("after {after} the next client is served: {}", finding.expected);
                if !finding.got.contains(DEAD) {
                    finding.got.push_str(&self.last_words());
                }
                let talk = std::mem::take(&mut finding.talk);
                finding.talk = std::mem::take(&mut self.remembered);
                finding.talk.extend(talk);
                finding.mistake = Some(format!("{DOES_NOT_SURVIVE} {after}: one connection's exception ends the loop that serves all, or the loop hangs on that connection"));
                Verdict::Fail(finding)
            }
            other => other,
        })
    }

    /// Ends our side behind the last byte of a message that says itself where it ends.
    ///
    /// A server that was started here may have to be started again, and whoever closes first keeps
    /// the port for a minute. So it gets a moment to close before we do: then our reset spares it
    /// that. See [`Probe`]'s drop.
    pub fn leave(&self, probe: &mut Probe) {
        let says_its_end = self.task > Task::Four && !self.grammar.ends_files_by_closing();
        if self.server.is_some() && (says_its_end || self.framed()) {
            let known = probe.received().len();
            let ending = probe.read_until(LEAVE, |received| received.len() > known);
            if ending != Ending::Open {
                return;
            }
        }
        probe.half_close();
    }

    /// The message that names a file.
    pub fn name_message(&self, name: &str) -> Message {
        Message::name(self.grammar, name.as_bytes())
    }

    /// A file with what stands before it.
    pub fn file_message(&self, body: &[u8]) -> Message {
        Message::file(self.task, self.grammar, body)
    }

    /// Whether answers are messages with a length, and lengths stand before texts and names.
    pub fn framed(&self) -> bool {
        self.grammar.frames_answers()
    }
}

/// Why a stored file can't be looked at.
pub const NO_FOLDER: &str = "what the server stored can't be seen; say where with --dir DIR, or let it be started with --start";
