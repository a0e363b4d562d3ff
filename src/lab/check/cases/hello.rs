//! The Goals' first server: `I have received: ` and the text.

use super::super::case::{Case, always};
use super::{echo, resting};

const PREFIX: &str =
    "the answer is built from something else than the words of the sheet and the text";

/// In the order in which they are run.
pub(super) const CASES: &[Case] = &[
    Case {
        id: "hello.1",
        title: "a text is answered \"I have received: \" and the text",
        why: "a client that gets another answer, or none, can't know that it was understood",
        mistake: PREFIX,
        asked: always,
        run: echo::whole,
    },
    Case {
        id: "hello.2",
        title: "after the answer the connection ends in good order",
        why: "the end is how a client knows that the answer is complete; a reset can take the answer with it",
        mistake: "the socket isn't closed, or closed with bytes unread",
        asked: always,
        run: echo::ends_well,
    },
    Case {
        id: "hello.3",
        title: "a client that waits for its answer before it closes gets one",
        why: "the sheet's clients wait; who reads until the end of the stream waits for them in turn",
        mistake: "the server reads until the client ends its stream, and only then answers",
        asked: always,
        run: echo::waiting,
    },
    Case {
        id: "hello.4",
        title: "a text that comes in two segments is answered whole",
        why: "TCP carries a stream of bytes: what one send puts in, several recv can take out",
        mistake: "a string cut at the first segment: recv is called once, where a loop is needed",
        asked: always,
        run: echo::two_pieces,
    },
    Case {
        id: "hello.5",
        title: "a text that comes one byte at a time is answered whole",
        why: "that is the worst that a network may do, and no program may notice",
        mistake: "a string cut at the first segment: recv is called once, where a loop is needed",
        asked: always,
        run: echo::bytewise,
    },
    Case {
        id: "hello.6",
        title: "a text is answered whole wherever it is cut in two",
        why: "one place that is handled wrongly is enough to lose a message once a day",
        mistake: "a string cut at the first segment, or each piece decoded on its own",
        asked: always,
        run: echo::every_cut,
    },
    Case {
        id: "hello.7",
        title: "a text of 4096 bytes is answered whole",
        why: "the sheet's limit is 4 kB, and the limit itself is still allowed",
        mistake: "a buffer of 1024 bytes, or of 4096 in which something else has its place too",
        asked: always,
        run: echo::longest,
    },
    Case {
        id: "hello.8",
        title: "characters that are cut between segments stay whole",
        why: "a character of UTF-8 has up to four bytes, and a segment may end between them",
        mistake: "each piece is decoded on its own; decode belongs behind the last recv",
        asked: always,
        run: echo::characters_cut,
    },
    Case {
        id: "hello.9",
        title: "a connection without a byte is let go, and the next is served",
        why: "port scanners, health checks and impatient people connect and leave",
        mistake: "the end of the stream (recv gives b'') is not looked for",
        asked: always,
        run: echo::no_text,
    },
    Case {
        id: "hello.10",
        title: "bytes that are no UTF-8 don't end the server",
        why: "anybody can send any bytes",
        mistake: "decode() raises an exception that nobody catches",
        asked: always,
        run: echo::no_utf8,
    },
    Case {
        id: "hello.11",
        title: "twenty clients in a row are served",
        why: "a server is there for more than one",
        mistake: "bound to the port again on each connection, or the loop around accept is missing",
        asked: always,
        run: echo::many_in_a_row,
    },
    Case {
        id: "hello.12",
        title: "a client that resets its connection is forgotten, and the next is served",
        why: "programs die and cables are pulled; recv and send then raise an exception",
        mistake: "ConnectionResetError or BrokenPipeError ends the loop around accept",
        asked: always,
        run: echo::reset,
    },
    Case {
        id: "hello.13",
        title: "a client that stands still keeps nobody waiting (an extra here, task 2's subject)",
        why: "one slow client must not be everybody's",
        mistake: "one client after the other is served",
        asked: always,
        run: echo::stalled,
    },
    Case {
        id: "hello.14",
        title: "a server whose clients have all gone takes no processor time",
        why: "recv on an ended stream returns b'' at once, for ever: a loop that asks again spins",
        mistake: "end of stream not noticed: the loop around recv never looks for b''",
        asked: always,
        run: resting::after_bare_connections,
    },
];
