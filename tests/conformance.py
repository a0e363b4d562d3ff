#!/usr/bin/env python3
"""Checks a running server against the protocol: python3 conformance.py HOST:PORT DIR [options]

DIR is the folder the server stores into. It must hold no files at the start, because at the
end it must hold those uploaded here and no others. The server runs with its defaults, or, where
the word `options` is given, with these:

    --strings message --accept-eof --allow-hidden --max-size 1000 --on-conflict overwrite

This client shares no code with the server. It prints a line for each case, and at the first
surprise it says what it expected and what it got, and exits with 1.
"""
import os
import random
import re
import socket
import sys

STRING, DATA_1B, DATA_EOF, PUT, END = 1, 2, 10, 16, 17
MOST = 4096  # bytes in a STRING, PUT or END
MAX_SIZE = 1000  # bytes in a file, where the server was told so
TIMEOUT = 30  # seconds without a byte from the server: then something is wrong
OWN_FOLDER = ".piecemeal"  # no upload can have this name

# Digests from BLAKE3's published test vectors; the standard library can't compute them.
ABC_DIGEST = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
EMPTY_DIGEST = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


class Surprise(Exception):
    """The server did something else than the protocol says."""


def shown(value):
    """Bytes as hex, and as text where that is short."""
    if not isinstance(value, bytes):
        return str(value)
    more = f" … ({len(value)} bytes)" if len(value) > 256 else ""
    return f"{value[:256].hex(' ')}{more}  {value[:256]!r}"


def expect(what, expected, got):
    if expected != got:
        raise Surprise(f"{what}\n  expected: {shown(expected)}\n  got:      {shown(got)}")


# What a client sends.


def message(kind, width, body):
    return bytes([kind]) + len(body).to_bytes(width, "little") + body


def string(text):
    return message(STRING, 2, text if isinstance(text, bytes) else text.encode())


def fields(**pairs):
    return "".join(f"{key}={value}\n" for key, value in pairs.items()).encode()


def put(**pairs):
    return message(PUT, 2, fields(**pairs))


def end(**pairs):
    return message(END, 2, fields(**pairs))


def smallest(size):
    return max(1, (size.bit_length() + 7) // 8)


def data(body, width=None):
    width = width or smallest(len(body))
    return message(DATA_1B + width - 1, width, body)


# What a client expects. A step is a message and a check of the reply to it.


def parsed(body):
    """A reply's status line and its keys."""
    try:
        status, *lines = body.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise Surprise(f"a reply\n  expected: UTF-8\n  got:      {shown(body)}") from None
    keys = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch("[a-z0-9-]+", key) or key in keys:
            raise Surprise(f"a reply\n  expected: key=value lines\n  got:      {shown(body)}")
        keys[key] = value
    return status, keys


def bare_ok(_run, body):
    expect("the reply to a name", b"OK", body)


def plain_ok(_run, body):
    expect(f"the status line of {shown(body)}", "OK", parsed(body)[0])


def offset(count):
    def check(_run, body):
        status, keys = parsed(body)
        expect(f"the status line of {shown(body)}", "OK", status)
        expect(f"the offset in {shown(body)}", str(count), keys.get("offset"))

    return check


def refused(code):
    def check(_run, body):
        status, keys = parsed(body)
        if code is None:
            expect(f"the status line of {shown(body)}", "ERR", status.split(" ")[0])
        else:
            expect(f"the status line of {shown(body)}", f"ERR {code}", status)
        expect(f"a line for a person in {shown(body)}", True, bool(keys.get("text")))

    return check


def receipt(name, content, digest=None):
    """The file is there, under its name, when the receipt says so."""

    def check(run, body):
        status, keys = parsed(body)
        expect(f"the status line of {shown(body)}", "OK", status)
        stored = keys.get("name", "")
        if name is None:
            unnamed = bool(re.fullmatch(r"[A-Za-z0-9]{8}\.bin", stored))
            expect(f"eight letters or digits and .bin in {shown(body)}", True, unnamed)
        else:
            expect(f"the name in {shown(body)}", name, stored)
        expect(f"the size in {shown(body)}", str(len(content)), keys.get("size"))
        expect(f"durable in {shown(body)}", "yes", keys.get("durable"))
        if digest:
            expect(f"the digest in {shown(body)}", digest, keys.get("blake3"))
        run.stored(stored, content)

    return check


def named(name, content, width=None):
    return [(string(name), bare_ok), (data(content, width), receipt(name, content))]


def unnamed(content, width=None):
    return [(data(content, width), receipt(None, content))]


def announced(name, content, width=None, **more):
    asked = {"name": name, "size": len(content), **more}
    return [(put(**asked), offset(0)), (data(content, width), receipt(name, content))]


def explicit(name, parts, announce_size=False, **at_end):
    content = b"".join(parts)
    asked = {"name": name, "end": "explicit"}
    if announce_size:
        asked["size"] = len(content)
    steps = [(put(**asked), offset(0))]
    steps += [(data(part), plain_ok) for part in parts]
    return steps + [(end(**at_end), receipt(name, content))]


def refused_name(name, content=b"thrown away", code="bad-name"):
    return [(string(name), refused(code)), (data(content), refused(code))]


def sent(steps):
    return b"".join(message for message, _ in steps)


class Connection:
    """A connection to the server, with every byte and every reply accounted for."""

    def __init__(self, run):
        self.run = run
        self.sock = socket.create_connection(run.address, timeout=TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def receive(self, count):
        got = b""
        while len(got) < count:
            part = self.sock.recv(count - len(got))
            if not part:
                raise Surprise(
                    f"a reply cut off\n  expected: {count} bytes\n  got:      {shown(got)}"
                )
            got += part
        return got

    def reply(self):
        header = self.receive(3)
        expect(f"the type of a reply, {shown(header)}", STRING, header[0])
        length = int.from_bytes(header[1:], "little")
        return self.receive(length)

    def check(self, steps):
        for _, check in steps:
            check(self.run, self.reply())

    def one_by_one(self, steps):
        for step in steps:
            self.sock.sendall(step[0])
            self.check([step])

    def at_once(self, steps):
        self.sock.sendall(sent(steps))
        self.check(steps)

    def byte_by_byte(self, steps):
        for byte in sent(steps):
            self.sock.sendall(bytes([byte]))
        self.check(steps)

    def cut(self, steps, at):
        """Two sends. The second one waits until the first one's messages are answered."""
        whole = sent(steps)
        self.sock.sendall(whole[:at])
        answered, position = 0, 0
        for text, _ in steps:
            position += len(text)
            if position <= at:
                answered += 1
        self.check(steps[:answered])
        self.sock.sendall(whole[at:])
        self.check(steps[answered:])

    def closed_by_server(self):
        """The server has said all it had to say: nothing comes but the end of its stream."""
        expect("the end of the server's stream", b"", self.sock.recv(MOST))

    def finish(self):
        """We are done sending, and there is no reply we haven't counted."""
        self.sock.shutdown(socket.SHUT_WR)
        self.closed_by_server()


class Run:
    """The server, and the files it must hold."""

    def __init__(self, address, folder):
        host, _, port = address.rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.folder = folder
        self.files = {}

    def content(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def stored(self, name, content):
        expect(f"a new file's name, {name!r}", False, name in self.files)
        self.files[name] = content
        try:
            expect(f"the bytes of {name!r}", content, self.content(name))
        except OSError as error:
            raise Surprise(f"{name!r} was said to be stored, but {error}") from error

    def session(self, steps, how=Connection.one_by_one, *more):
        with Connection(self) as connection:
            how(connection, steps, *more)
            connection.finish()

    def closing(self, steps):
        """A session whose last message makes the server close the connection."""
        with Connection(self) as connection:
            connection.one_by_one(steps)
            connection.closed_by_server()

    def cut_off(self, text, code):
        """A client that ends its stream inside a message."""
        with Connection(self) as connection:
            connection.sock.sendall(text)
            connection.sock.shutdown(socket.SHUT_WR)
            refused(code)(self, connection.reply())
            connection.closed_by_server()

    def exactly_these_files(self):
        # The server's own folder may be there, but there must be nothing left in it.
        found = set(os.listdir(self.folder))
        if OWN_FOLDER in found:
            found.remove(OWN_FOLDER)
            left = os.listdir(os.path.join(self.folder, OWN_FOLDER))
            expect(f"what is left in {OWN_FOLDER}", [], left)
        expect("files that are missing", [], sorted(self.files.keys() - found))
        expect("files that nobody uploaded", [], sorted(found - self.files.keys()))
        for name, content in self.files.items():
            expect(f"the bytes of {name!r}", content, self.content(name))


def noise(count, seed=1):
    return random.Random(seed).randbytes(count)


# The cases.


def empty_folder(run):
    run.exactly_these_files()


def named_uploads(run):
    run.session(named("named.txt", b"hello\n"))
    run.session(named("named-1.bin", b"one") + named("named-2.bin", noise(70_000)))


def unnamed_uploads(run):
    run.session(unnamed(b"hello\n") + unnamed(b"hello\n") + unnamed(noise(300)))


def a_name_serves_one_upload(run):
    run.session(named("once.txt", b"first") + unnamed(b"second"))


def the_last_name_counts(run):
    run.session([(string("replaced.txt"), bare_ok)] + named("replacing.txt", b"x"))
    run.session([(string("replaced.txt"), bare_ok)] + announced("replacing-2.txt", b"x"))
    run.session([(put(name="replaced.txt"), offset(0))] + named("replacing-3.txt", b"x"))


def announced_uploads(run):
    run.session(announced("announced.txt", b"hello\n"))
    steps = [(put(name="only-a-name.txt"), offset(0))]
    run.session(steps + [(data(b"hi"), receipt("only-a-name.txt", b"hi"))])


def unknown_keys_are_ignored(run):
    run.session(announced("unknown-keys.txt", b"x", **{"a-later-key-9": "a=b=c", "empty": ""}))


def empty_files(run):
    for width in range(1, 9):
        run.session(named(f"empty-named-{width}", b"", width))
        run.session(announced(f"empty-announced-{width}", b"", width))
        run.session(unnamed(b"", width))
    run.session(explicit("empty-explicit-0", []))
    run.session(explicit("empty-explicit-1", [b""], size=0))
    run.session(explicit("empty-explicit-3", [b"", b"", b""], announce_size=True))


def every_data_type(run):
    for width in range(1, 9):
        for size in (1, 5, 200, 255):
            content = noise(size, width)
            run.session(named(f"named-{width}b-{size}", content, width))
            run.session(announced(f"announced-{width}b-{size}", content, width))
            run.session(unnamed(content, width))
    for width in range(2, 9):
        for size in (256, 65_535):
            run.session(named(f"named-{width}b-{size}", noise(size, width), width))
    for width in range(3, 9):
        run.session(announced(f"announced-{width}b-65536", noise(65_536, width), width))


def sizes_at_the_edges_of_the_types(run):
    for size in (255, 256, 65_535, 65_536, 2**20 - 1, 2**20, 2**20 + 1, 2**24 - 1, 2**24):
        run.session(named(f"edge-{size}", noise(size)))


def explicit_ends(run):
    run.session(explicit("explicit-1.txt", [b"hello\n"]))
    run.session(explicit("explicit-3.txt", [b"hel", b"", b"lo\n"], size=6))
    run.session(explicit("explicit-size.txt", [b"a", b"bc"], announce_size=True))
    run.session(explicit("explicit-both.txt", [b"a", b"bc"], announce_size=True, size=3))
    parts = [noise(size, size) for size in range(0, 3000, 37)]
    run.session(explicit("explicit-many.bin", parts, size=sum(map(len, parts))))
    run.session(explicit("explicit-large.bin", [noise(300_000, n) for n in range(5)]))


def explicit_ends_that_lie(run):
    steps = [(put(name="lie.txt", end="explicit"), offset(0)), (data(b"abc"), plain_ok)]
    run.session(steps + [(end(size=4), refused("digest"))] + named("after-lie-1.txt", b"x"))
    run.session(steps + [(end(size=2), refused("digest"))] + named("after-lie-2.txt", b"x"))
    wrong = (end(blake3=EMPTY_DIGEST), refused("digest"))
    run.session(steps + [wrong] + named("after-lie-3.txt", b"x"))


def more_parts_than_announced(run):
    asked = (put(name="overlong.txt", end="explicit", size=5), offset(0))
    parts = [(data(b"abc"), plain_ok), (data(b"abc"), refused("bad-state"))]
    run.session([asked] + parts + [(end(), refused(None))] + named("after-overlong.txt", b"x"))


def digests(run):
    asked = {"name": "digest.txt", "size": 3, "blake3": ABC_DIGEST}
    stored = (data(b"abc"), receipt("digest.txt", b"abc", ABC_DIGEST))
    run.session([(put(**asked), offset(0)), stored])
    empty = (data(b""), receipt("digest-empty", b"", EMPTY_DIGEST))
    run.session([(put(name="digest-empty", blake3=EMPTY_DIGEST), offset(0)), empty])
    at_end = [(put(name="digest-end.txt", end="explicit"), offset(0))]
    at_end += [(data(b"ab"), plain_ok), (data(b"c"), plain_ok)]
    at_end += [(end(size=3, blake3=ABC_DIGEST), receipt("digest-end.txt", b"abc", ABC_DIGEST))]
    run.session(at_end)
    wrong = [(put(name="digest-wrong.txt", blake3=ABC_DIGEST), offset(0))]
    wrong += [(data(b"abd"), refused("digest"))]
    run.session(wrong + named("after-digest.txt", b"x"))


def stored_again(name, content, digest):
    """The receipt of a file that is there already."""

    def check(run, body):
        run.files.pop(name, None)
        receipt(name, content, digest)(run, body)

    return check


def a_retry_never_fails_for_having_succeeded(run):
    asked = put(name="retry.txt", size=3, blake3=ABC_DIGEST)
    again = stored_again("retry.txt", b"abc", ABC_DIGEST)
    run.session([(asked, offset(0)), (data(b"abc"), receipt("retry.txt", b"abc"))])
    run.session([(asked, offset(3)), (data(b""), again)] * 2 + named("after-retry-1.txt", b"x"))
    # A client that doesn't wait for the offset sends the whole file.
    run.session([(asked, offset(3)), (data(b"abc"), again)] * 3, Connection.at_once)
    wrong = [(asked, offset(3)), (data(b"abd"), refused("digest"))]
    run.session(wrong + named("after-retry-2.txt", b"x"), Connection.at_once)
    asked = put(name="retry.txt", blake3=ABC_DIGEST, end="explicit")
    run.session([(asked, offset(3)), (end(), again)])
    run.session([(asked, offset(3)), (data(b""), plain_ok), (end(size=3), again)])
    parts = [(data(b"ab"), plain_ok), (data(b"c"), plain_ok), (end(size=3), again)]
    run.session([(asked, offset(3))] + parts, Connection.at_once)


def a_retry_while_the_first_try_goes_on(run):
    asked = [(put(name="race.txt", blake3=ABC_DIGEST), offset(0))]
    with Connection(run) as one, Connection(run) as two:
        one.one_by_one(asked)
        two.one_by_one(asked)
        for connection in (two, one):
            again = stored_again("race.txt", b"abc", ABC_DIGEST)
            connection.one_by_one([(data(b"abc"), again)])
            connection.finish()


def another_file_than_the_one_there(run):
    run.session(named("other.txt", b"not abc"))
    asked = (put(name="other.txt", blake3=ABC_DIGEST), refused("exists"))
    run.session([asked, (data(b"abc"), refused("exists"))])
    # A file that is there has this digest, but not this size.
    run.session([(put(name="sized.txt"), offset(0)), (data(b"abc"), receipt("sized.txt", b"abc"))])
    asked = (put(name="sized.txt", size=5, blake3=ABC_DIGEST), refused("exists"))
    run.session([asked, (data(b""), refused("exists"))])


def a_name_that_is_taken(run):
    run.session(named("taken.txt", b"the first"))
    run.session(refused_name("taken.txt", code="exists") + named("after-taken-1.txt", b"x"))
    asked = [(put(name="taken.txt", size=1), refused("exists")), (data(b"y"), refused("exists"))]
    run.session(asked + named("after-taken-2.txt", b"x"))
    run.session(asked + named("after-taken-3.txt", b"x"), Connection.at_once)


def two_uploads_of_one_name(run):
    """Both may begin, but only one of them can end well."""
    with Connection(run) as one, Connection(run) as two:
        one.one_by_one([(string("both.txt"), bare_ok)])
        two.one_by_one([(string("both.txt"), bare_ok)])
        two.one_by_one([(data(b"two"), receipt("both.txt", b"two"))])
        one.one_by_one([(data(b"one"), refused("exists"))] + unnamed(b"one"))
        one.finish()
        two.finish()


BAD_NAMES = """. .. .hidden ../up a/../b /absolute a//b a/ a\\b a:b C: trailing. CON con nul.txt
COM¹ lpt9.log aux PRN COM1.tar.gz""".split()
BAD_NAMES += ["", " ", "trailing ", "a\0b", "a\x1b[2Jb", "a\nb", "a\tb", "a\x7fb", "a\x85b"]
BAD_NAMES += ["a\u202eb", "a\u200bb", "a\u2066b", "a\ufeffb", "a\ufffeb", "x" * 201, "ü" * 101]
BAD_NAMES += ["x/" * 600 + "x", "/".join("x" * 33)]


def refused_names(run):
    for number, name in enumerate(BAD_NAMES):
        steps = refused_name(name) + named(f"after-refused-{number}.txt", b"x")
        run.session(steps)
        steps = refused_name(name) + named(f"after-refused-{number}-at-once.txt", b"x")
        run.session(steps, Connection.at_once)
        if "\n" not in name:
            steps = [(put(name=name, size=1), refused("bad-name"))]
            steps += [(data(b"y"), refused("bad-name"))]
            run.session(steps + announced(f"after-refused-{number}-put.txt", b"x"))


def refused_large_body(run):
    steps = refused_name("..", noise(5_000_000)) + named("after-large-refused.txt", b"x")
    run.session(steps, Connection.at_once)


def a_refused_name_stays_refused(run):
    steps = refused_name("..") + [(data(b"more"), refused("bad-name"))] * 3
    run.session(steps + named("after-staying.txt", b"x") + unnamed(b"y"))
    run.session(steps + announced("after-staying-2.txt", b"x"), Connection.at_once)


def a_refused_explicit_upload(run):
    steps = [(put(name="..", end="explicit"), refused("bad-name"))]
    steps += [(data(b"abc"), refused("bad-name"))] * 2 + [(end(), refused(None))]
    run.session(steps + named("after-refused-explicit-1.txt", b"x"))
    run.session(steps + named("after-refused-explicit-2.txt", b"x"), Connection.at_once)


GOOD_NAMES = ["a", "a b (2).pdf", " leading", "a=b", "Ünïcödé.txt", "日本語.txt", "🦀.rs"]
GOOD_NAMES += ["x" * 200, "ü" * 100, "CONSOLE", "COM10.txt", "nulls.txt", "a..b", "~", "-rf", "%s"]


def good_names(run):
    for name in GOOD_NAMES:
        run.session(named(name, name.encode()))


def bad_texts(run):
    bad = refused("bad-text")
    run.session([(string(b"a\xffb"), bad)] + named("after-bad-text-1.txt", b"x"))
    bodies = [b"name", b"=x\n", b"Name=x\n", b"na me=x\n", b"name=a\nname=b\n", b"name=\xff\n"]
    for number, body in enumerate(bodies):
        steps = [(message(PUT, 2, body), bad)] + named(f"after-bad-put-{number}.txt", b"x")
        run.session(steps)
    steps = [(put(name="bad-end.txt", end="explicit"), offset(0)), (data(b"x"), plain_ok)]
    run.session(steps + [(message(END, 2, b"size\n"), bad)])
    run.session([(put(size=1), refused(None))] + named("after-no-name.txt", b"x"))


def bad_states(run):
    bad = refused("bad-state")
    run.session([(end(), bad)] + named("after-end-1.txt", b"x"))
    run.session([(string("named-end.txt"), bare_ok), (end(), bad)])
    short = [(put(name="short.txt", size=3), offset(0)), (data(b"ab"), bad)]
    run.session(short + named("after-short.txt", b"x"))
    long = [(put(name="long.txt", size=3), offset(0)), (data(b"abcd"), bad)]
    run.session(long + named("after-long.txt", b"x"))


def bad_types(run):
    for kind in [0, DATA_EOF, 11, 15, *range(18, 32), 32, 127, 128, 255]:
        run.closing([(bytes([kind]), refused("bad-type"))])
    before = named("before-bad-type.txt", b"x")
    run.closing(before + [(bytes([0]), refused("bad-type"))])
    # What follows a bad type is no message, however much of it there is.
    with Connection(run) as connection:
        steps = named("before-bad-type-2.txt", b"x") + [(bytes([255]), refused("bad-type"))]
        connection.sock.sendall(sent(steps) + sent(named("after-bad-type.txt", b"x")))
        connection.check(steps)
        connection.closed_by_server()


def bad_lengths(run):
    for kind in (STRING, PUT, END):
        for length in (MOST + 1, 65_535):
            header = bytes([kind]) + length.to_bytes(2, "little")
            run.closing([(header, refused("bad-length"))])
            run.closing([(header + b"x" * length, refused("bad-length"))])
    body = fields(name="long-fields.txt")
    body += b"filler=" + b"x" * (MOST - len(body) - 8) + b"\n"
    long = [(message(PUT, 2, body), offset(0)), (data(b"x"), receipt("long-fields.txt", b"x"))]
    run.session(long)
    run.session([(string("x" * MOST), refused("bad-name"))])


def cut_off_bodies(run):
    run.cut_off(data(b"abcdef")[:-1], "incomplete")
    run.cut_off(data(noise(2_000_000))[:-1], "incomplete")
    run.cut_off(string("cut-off.txt")[:-1], "incomplete")
    run.cut_off(put(name="cut-off.txt")[:-1], "incomplete")


def cut_off_headers(run):
    """There is no message yet, so there is nothing to answer."""
    for text in (b"\1", b"\1\5", b"\x10\1", b"\2", data(b"x" * 300)[:2], data(b"", 8)[:8]):
        with Connection(run) as connection:
            connection.one_by_one([(string("cut-off.txt"), bare_ok)])
            connection.sock.sendall(text)
            connection.finish()


def a_size_that_no_disk_has(run):
    run.closing([(bytes([DATA_1B + 7]) + (2**63).to_bytes(8, "little"), refused("no-space"))])
    asked = [(put(name="huge.bin", size=2**63), refused("no-space"))]
    run.session(asked + [(data(b"abc"), refused("no-space"))] + named("after-huge.txt", b"x"))


def a_client_that_dies(run):
    for steps in (
        [(string("dead-1.txt"), bare_ok)],
        [(put(name="dead-2.txt", size=3), offset(0))],
        [(put(name="dead-3.txt", end="explicit"), offset(0)), (data(b"abc"), plain_ok)],
    ):
        with Connection(run) as connection:
            connection.one_by_one(steps)
        run.session(steps)  # This one leaves in good order; nothing is stored either.


def a_name_before_a_dead_body(run):
    with Connection(run) as connection:
        connection.one_by_one([(string("dead-4.txt"), bare_ok)])
        connection.sock.sendall(data(b"abcdef")[:-1])
    run.session(named("after-dead.txt", b"x"))


def mixed(prefix, count, seed):
    """Uploads of all kinds, in a random order that is always the same."""
    dice = random.Random(seed)
    steps, just_refused = [], False
    for number in range(count):
        name = f"{prefix}-{number:03}"
        content = dice.randbytes(dice.choice((0, 1, 6, 255, 256, 3_000)))
        width = dice.randint(smallest(len(content)), 8)
        half = len(content) // 2
        kinds = {
            "named": named(name, content, width),
            "unnamed": unnamed(content, width),
            "announced": announced(name, content, width),
            "parts": explicit(name, [content[:half], b"", content[half:]]),
            "sized": explicit(name, [content], size=len(content)),
            "refused": refused_name(dice.choice(BAD_NAMES), content),
            # After a refused name END is refused for that, else because nothing was begun.
            "end": [(end(), refused(None))] + named(name, content),
            "text": [(string(b"\xff"), refused("bad-text"))] + named(name, content),
        }
        if just_refused:
            del kinds["unnamed"]  # It would be taken for the refused name's.
        kind = dice.choice(list(kinds))
        just_refused = kind == "refused"
        steps += kinds[kind]
    return steps


def one_by_one(run):
    run.session(mixed("one-by-one", 30, 1))


def byte_by_byte(run):
    steps = named("bytes-1.txt", b"hello\n") + unnamed(b"abc", 8) + refused_name("..")
    steps += announced("bytes-2.txt", b"hello\n", 4) + explicit("bytes-3.txt", [b"a", b"", b"bc"])
    run.session(steps, Connection.byte_by_byte)
    run.session(mixed("byte-by-byte", 10, 2), Connection.byte_by_byte)


def a_hundred_at_once(run):
    for seed in (3, 4, 5):
        run.session(mixed(f"at-once-{seed}", 100, seed), Connection.at_once)


def three_connections_in_turns(run):
    sessions = [mixed(f"turns-{number}", 20, 10 + number) for number in range(3)]
    connections = [Connection(run) for _ in sessions]
    for turn in range(max(map(len, sessions))):
        for connection, steps in zip(connections, sessions):
            connection.one_by_one(steps[turn : turn + 1])
    for connection in connections:
        with connection:
            connection.finish()


def cut_everywhere(run):
    def steps(at):
        # Every name is as long as every other, so that all the sessions are cut alike.
        session = named(f"cut-{at:03}.1", b"one") + refused_name("..", b"two")
        session += announced(f"cut-{at:03}.2", b"three", 3) + unnamed(b"four", 8)
        return session + explicit(f"cut-{at:03}.3", [b"fi", b"ve"], size=4)

    for at in range(1, len(sent(steps(0)))):
        try:
            run.session(steps(at), Connection.cut, at)
        except (Surprise, OSError) as error:
            raise Surprise(f"cut at byte {at} of {shown(sent(steps(at)))}: {error}") from error


def exactly_the_files_uploaded(run):
    run.exactly_these_files()


# The cases of a server with options.


def message_for_a_person(text):
    def check(_run, body):
        expect("the text, sent back", b"Message: " + text.encode(), body)

    return [(string(text), check)]


def strings_are_messages(run):
    steps = message_for_a_person("Hello, world!") + message_for_a_person("../etc/\n\x1b[2J")
    steps += [(string(b"\xff"), refused("bad-text"))] + unnamed(b"abc")
    steps += message_for_a_person("") + message_for_a_person("x" * MOST)
    run.session(steps)
    run.session(steps, Connection.at_once)
    run.session(steps[:4] + announced("not-message.txt", b"abc"), Connection.byte_by_byte)
    # A message between PUT and DATA is not what the DATA is for.
    between = announced("between.txt", b"abc")
    run.session(between[:1] + message_for_a_person("hi") + between[1:])


def streams_until_their_end(run):
    def stream(before, content, check):
        with Connection(run) as connection:
            connection.one_by_one(before)
            connection.sock.sendall(bytes([DATA_EOF]) + content)
            connection.sock.shutdown(socket.SHUT_WR)
            check(run, connection.reply())
            connection.closed_by_server()

    for content in (b"", b"x", b"\x02\x01x", noise(MAX_SIZE)):
        stream(unnamed(b"before"), content, receipt(None, content))
        name = f"stream-{len(content)}"
        stream([(put(name=name), offset(0))], content, receipt(name, content))
        asked = put(name=f"sized-{name}", size=len(content))
        stream([(asked, offset(0))], content, receipt(f"sized-{name}", content))
    stream([(put(name="short.txt", size=3), offset(0))], b"ab", refused(None))
    stream([(put(name="long.txt", size=3), offset(0))], b"abcd", refused(None))
    stream([(put(name=".."), refused("bad-name"))], b"abc", refused("bad-name"))
    stream([], noise(MAX_SIZE + 1), refused("too-large"))
    stream([], noise(100_000), refused("too-large"))


def too_large(run):
    def check(run, body):
        refused("too-large")(run, body)
        expect(f"the limit in {shown(body)}", str(MAX_SIZE), parsed(body)[1].get("limit"))

    run.session(announced("largest.bin", noise(MAX_SIZE)))
    large = [(data(noise(MAX_SIZE + 1)), check), (data(noise(100_000)), check)]
    run.session(large + unnamed(b"x"))
    run.session(large + unnamed(b"x"), Connection.at_once)
    asked = (put(name="larger.bin", size=MAX_SIZE + 1), check)
    run.session([asked, (data(b"x"), check)] + announced("after-larger.bin", b"x"))
    steps = [(put(name="parts.bin", end="explicit"), offset(0)), (data(noise(600)), plain_ok)]
    steps += [(data(noise(600)), check), (end(), refused(None))]
    run.session(steps + announced("after-parts.bin", b"x"), Connection.at_once)
    run.closing([(bytes([DATA_1B + 7]) + (2**64 - 1).to_bytes(8, "little"), check)])


def policies_for_a_name_that_is_taken(run):
    again = stored_again("policy.txt", b"the second", None)
    run.session(announced("policy.txt", b"the first"))
    run.session([(put(name="policy.txt"), offset(0)), (data(b"the second"), again)])
    asked = put(name="policy.txt", conflict="error")
    run.session([(asked, refused("exists")), (data(b"x"), refused("exists"))])
    for number in (2, 3):
        asked = put(name="policy.txt", conflict="rename")
        stored = receipt(f"policy ({number}).txt", b"another")
        run.session([(asked, offset(0)), (data(b"another"), stored)])
    wrong = message(PUT, 2, b"name=policy.txt\nconflict=merge\n")
    run.session([(wrong, refused("bad-text")), (data(b"x"), refused("bad-text"))])


def hidden_names(run):
    run.session(announced(".hidden", b"x") + announced("...a", b"x"))
    for name in (".", "..", ".piecemeal", ".Piecemeal", ".a."):
        run.session([(put(name=name), refused("bad-name"))])


CASES = [
    empty_folder,
    named_uploads,
    unnamed_uploads,
    a_name_serves_one_upload,
    the_last_name_counts,
    announced_uploads,
    unknown_keys_are_ignored,
    empty_files,
    every_data_type,
    sizes_at_the_edges_of_the_types,
    explicit_ends,
    explicit_ends_that_lie,
    more_parts_than_announced,
    digests,
    a_retry_never_fails_for_having_succeeded,
    a_retry_while_the_first_try_goes_on,
    another_file_than_the_one_there,
    a_name_that_is_taken,
    two_uploads_of_one_name,
    refused_names,
    refused_large_body,
    a_refused_name_stays_refused,
    a_refused_explicit_upload,
    good_names,
    bad_texts,
    bad_states,
    bad_types,
    bad_lengths,
    cut_off_bodies,
    cut_off_headers,
    a_size_that_no_disk_has,
    a_client_that_dies,
    a_name_before_a_dead_body,
    one_by_one,
    byte_by_byte,
    a_hundred_at_once,
    three_connections_in_turns,
    cut_everywhere,
    exactly_the_files_uploaded,
]

OPTIONS_CASES = [
    empty_folder,
    announced_uploads,
    strings_are_messages,
    streams_until_their_end,
    too_large,
    policies_for_a_name_that_is_taken,
    hidden_names,
    exactly_the_files_uploaded,
]


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ["options"]):
        sys.exit(__doc__)
    run = Run(sys.argv[1], sys.argv[2])
    cases = OPTIONS_CASES if sys.argv[3:] else CASES
    for case in cases:
        title = case.__name__.replace("_", " ")
        try:
            case(run)
        except (Surprise, OSError) as surprise:
            print(f"FAILED {title}: {surprise}")
            sys.exit(1)
        print(f"ok {title}", flush=True)
    print(f"{len(cases)} cases, {len(run.files)} files")


if __name__ == "__main__":
    main()
