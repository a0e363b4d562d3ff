#!/usr/bin/env python3
"""Clients as different students write them: python3 clients.py HOST:PORT STYLE [ARGUMENT...]

Each style below is a client of its own, by another author with other habits: how a string ends,
what stands before a file, whether the answer is waited for, when the socket is closed. None of
them shares a line with the server, and none is to be made more careful than its author was: a
server that says it can take such clients has to take them as they are.

A style gets texts, or paths of files to send. It makes one connection and returns what it saw,
printed as JSON: its own address, the bytes that the server sent, and how the connection ended.
With - as the style, styles and their arguments are read from standard input, one a line.
"""
import json
import os
import socket
import struct
import sys
import time
import traceback

PATIENCE = 60  # seconds without a byte from the server: then nothing will come any more
MOMENT = 0.005  # seconds between two sends that follow each other in a program
THINKING = 1.5  # seconds that a person needs to type something

# How a connection ended, as its client saw it.
END, RESET, LEFT = "end", "reset", "left without looking"

STYLES = {}


def style(function):
    STYLES[function.__name__] = function
    return function


def connect(address):
    sock = socket.create_connection(address, timeout=PATIENCE)
    # So that two sends are two segments, as they are between two machines.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def saw(sock, got=b"", end=LEFT):
    """To be called before the socket is closed, as it asks for its address."""
    host, port = sock.getsockname()[:2]
    return {"me": f"{host}:{port}", "got": got.decode("latin-1"), "end": end}


def read_to_the_end(sock, got=b""):
    try:
        while part := sock.recv(4096):
            got += part
    except (ConnectionResetError, BrokenPipeError):
        return saw(sock, got, RESET)
    return saw(sock, got, END)


def half_close_and_read(sock, got=b""):
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return saw(sock, got, RESET)
    return read_to_the_end(sock, got)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def name_of(path):
    return os.path.basename(path).encode()


def smallest_header(size):
    """The type from 2 up whose length, of type-1 bytes, can carry the size; and that length."""
    width = 1
    while size >= 256**width:
        width += 1
    return bytes([width + 1]) + size.to_bytes(width, "little")


# Any task.


@style
def connects_and_closes(address):
    with connect(address) as sock:
        return saw(sock)


@style
def says_nothing_and_half_closes(address):
    with connect(address) as sock:
        return half_close_and_read(sock)


@style
def sends_hex_and_closes(address, digits):
    """Whatever bytes; a lone type, say."""
    with connect(address) as sock:
        sock.sendall(bytes.fromhex(digits))
        return saw(sock)


@style
def sends_hex_and_half_closes(address, digits):
    with connect(address) as sock:
        sock.sendall(bytes.fromhex(digits))
        return half_close_and_read(sock)


# Tasks 1 and 2: a connection, and nothing said.


@style
def waits_for_the_end(address):
    with connect(address) as sock:
        return read_to_the_end(sock)


@style
def talks_at_each_enter(address):
    """Sends a line each time Enter is hit, though nobody listens."""
    with connect(address) as sock:
        for count in range(3):
            try:
                sock.sendall(b"Enter was hit %d times\n" % (count + 1))
            except (ConnectionResetError, BrokenPipeError):
                return saw(sock, b"", RESET)
            time.sleep(MOMENT)
        return half_close_and_read(sock)


@style
def sends_a_million_bytes_first(address):
    with connect(address) as sock:
        try:
            sock.sendall(bytes(1_000_000))
        except (ConnectionResetError, BrokenPipeError):
            return saw(sock, b"", RESET)
        return half_close_and_read(sock)


# Task 3 and the first server of the Goals: the text as it is.


@style
def raw_half_close(address, text):
    with connect(address) as sock:
        sock.sendall(text.encode())
        return half_close_and_read(sock)


@style
def raw_waits(address, text):
    """Waits for one answer with the socket open. Many do that: one send, one receive."""
    with connect(address) as sock:
        sock.send(text.encode())
        answer = sock.recv(8192)
        return saw(sock, answer)


@style
def raw_waits_for_the_end(address, text):
    with connect(address) as sock:
        sock.sendall(text.encode())
        return read_to_the_end(sock)


@style
def raw_never_reads(address, text):
    with connect(address) as sock:
        sock.sendall(text.encode())
        time.sleep(THINKING)
        return saw(sock)


@style
def raw_closes_at_once(address, text):
    with connect(address) as sock:
        sock.sendall(text.encode())
        return saw(sock)


@style
def raw_small_sends(address, text):
    """A few bytes a send; a character may be cut in the middle."""
    data = text.encode()
    with connect(address) as sock:
        for at in range(0, len(data), 3):
            sock.send(data[at : at + 3])
            time.sleep(MOMENT)
        return read_to_the_end(sock)


@style
def raw_typed_slowly(address, text):
    """Connects first, and only then asks its user what to send."""
    with connect(address) as sock:
        time.sleep(THINKING)
        sock.sendall(text.encode())
        answer = sock.recv(8192)
        return saw(sock, answer)


# Task 4: a type, and everything up to the end of the stream.


@style
def string_01(address, text):
    with connect(address) as sock:
        sock.sendall(b"\x01" + text.encode())
        return saw(sock)


@style
def string_01_in_two_sends(address, text):
    with connect(address) as sock:
        sock.sendall(b"\x01")
        time.sleep(MOMENT)
        sock.sendall(text.encode())
        return saw(sock)


@style
def string_01_half_close(address, text):
    with connect(address) as sock:
        sock.sendall(b"\x01" + text.encode())
        return half_close_and_read(sock)


@style
def string_00(address, text):
    with connect(address) as sock:
        sock.sendall(b"\x00" + text.encode())
        return saw(sock)


@style
def string_00_half_close(address, text):
    with connect(address) as sock:
        sock.sendall(b"\x00" + text.encode())
        return half_close_and_read(sock)


@style
def string_ascii_1(address, text):
    """Sends the digit that its user typed, and is lost without an answer."""
    with connect(address) as sock:
        sock.sendall(("1" + text).encode())
        return half_close_and_read(sock)


@style
def data_02(address, path):
    with connect(address) as sock:
        sock.sendall(b"\x02" + contents(path))
        return saw(sock)


@style
def data_02_in_two_sends(address, path):
    with connect(address) as sock:
        sock.sendall((2).to_bytes(1, "little"))
        time.sleep(MOMENT)
        sock.sendall(contents(path))
        return saw(sock)


@style
def data_02_half_close(address, path):
    with connect(address) as sock:
        sock.sendall(b"\x02" + contents(path))
        return half_close_and_read(sock)


@style
def data_02_small_sends(address, path):
    data = contents(path)
    with connect(address) as sock:
        sock.sendall(b"\x02")
        for at in range(0, len(data), 1000):
            sock.sendall(data[at : at + 1000])
        return saw(sock)


@style
def data_02_thinks(address, path):
    """A pause after the type, and one in the middle of the data."""
    data = contents(path)
    half = len(data) // 2
    with connect(address) as sock:
        time.sleep(THINKING)
        sock.sendall(b"\x02")
        time.sleep(THINKING)
        sock.sendall(data[:half])
        time.sleep(THINKING)
        sock.sendall(data[half:])
        return half_close_and_read(sock)


# Task 5: the size before the data.


@style
def sized(address, path):
    with connect(address) as sock:
        data = contents(path)
        sock.sendall(smallest_header(len(data)) + data)
        return saw(sock)


@style
def sized_of_type(address, path, kind):
    """Always the same type, whatever the size."""
    with connect(address) as sock:
        data = contents(path)
        width = int(kind) - 1
        sock.sendall(bytes([int(kind)]) + len(data).to_bytes(width, "little") + data)
        return saw(sock)


@style
def sized_waits_for_the_end(address, path):
    """Counts on the server to close, and keeps its own side open until then."""
    with connect(address) as sock:
        data = contents(path)
        sock.sendall(smallest_header(len(data)) + data)
        return read_to_the_end(sock)


@style
def sized_half_close(address, path):
    with connect(address) as sock:
        data = contents(path)
        sock.sendall(smallest_header(len(data)) + data)
        return half_close_and_read(sock)


@style
def sized_in_three_sends(address, path):
    with connect(address) as sock:
        data = contents(path)
        header = smallest_header(len(data))
        sock.send(header[:1])
        time.sleep(MOMENT)
        sock.send(header[1:])
        time.sleep(MOMENT)
        sock.sendall(data)
        return saw(sock)


@style
def sized_small_sends(address, path):
    with connect(address) as sock:
        data = contents(path)
        for byte in smallest_header(len(data)):
            sock.send(bytes([byte]))
        for at in range(0, len(data), 1000):
            sock.sendall(data[at : at + 1000])
        return saw(sock)


@style
def sized_thinks(address, path):
    """Stops after the header, and again in the middle of the data."""
    with connect(address) as sock:
        data = contents(path)
        half = len(data) // 2
        time.sleep(THINKING)
        sock.sendall(smallest_header(len(data)))
        time.sleep(THINKING)
        sock.sendall(data[:half])
        time.sleep(THINKING)
        sock.sendall(data[half:])
        return half_close_and_read(sock)


@style
def sized_keeps_the_socket(address, *paths):
    with connect(address) as sock:
        for path in paths:
            data = contents(path)
            sock.sendall(smallest_header(len(data)) + data)
            time.sleep(MOMENT)
        return half_close_and_read(sock)


@style
def data_02_length_4(address, path):
    """One type for all data, and always four bytes of length."""
    with connect(address) as sock:
        data = contents(path)
        sock.sendall(struct.pack("<BI", 2, len(data)) + data)
        return saw(sock)


@style
def data_02_length_4_waits_for_the_end(address, path):
    with connect(address) as sock:
        data = contents(path)
        sock.sendall(struct.pack("<BI", 2, len(data)))
        sock.sendall(data)
        return read_to_the_end(sock)


@style
def data_02_length_4_in_three_sends(address, path):
    with connect(address) as sock:
        data = contents(path)
        for part in (b"\x02", struct.pack("<I", len(data)), data):
            sock.sendall(part)
            time.sleep(MOMENT)
        return half_close_and_read(sock)


@style
def data_02_length_4_thinks(address, path):
    with connect(address) as sock:
        data = contents(path)
        half = len(data) // 2
        sock.sendall(struct.pack("<BI", 2, len(data)) + data[:half])
        time.sleep(THINKING)
        sock.sendall(data[half:])
        return half_close_and_read(sock)


# Task 6, U1: 01 and a name without a length; OK; then a type, a length and the data.


def u1_name(sock, name):
    sock.send(b"\x01" + name)
    return sock.recv(1024)


@style
def u1_course(address, path):
    """One file a connection: name, OK, data, close. Sends nothing when the answer isn't OK."""
    with connect(address) as sock:
        answer = u1_name(sock, name_of(path))
        if answer == b"OK":
            data = contents(path)
            sock.sendall(smallest_header(len(data)) + data)
        return saw(sock, answer)


@style
def u1_reads_on(address, path):
    """Looks whether anything comes after the data. Nothing should."""
    with connect(address) as sock:
        answer = u1_name(sock, name_of(path))
        if answer == b"OK":
            data = contents(path)
            sock.sendall(smallest_header(len(data)) + data)
        return half_close_and_read(sock, answer)


@style
def u1_of_type(address, path, kind):
    with connect(address) as sock:
        answer = u1_name(sock, name_of(path))
        data = contents(path)
        sock.sendall(bytes([int(kind)]) + len(data).to_bytes(int(kind) - 1, "little") + data)
        return saw(sock, answer)


@style
def u1_three_sends(address, path):
    with connect(address) as sock:
        answer = u1_name(sock, name_of(path))
        data = contents(path)
        header = smallest_header(len(data))
        for part in (header[:1], header[1:], data):
            sock.sendall(part)
            time.sleep(MOMENT)
        return saw(sock, answer)


@style
def u1_small_sends(address, path):
    with connect(address) as sock:
        answer = u1_name(sock, name_of(path))
        data = contents(path)
        message = smallest_header(len(data)) + data
        for at in range(0, len(message), 1000):
            sock.sendall(message[at : at + 1000])
        return saw(sock, answer)


@style
def u1_type_and_name_apart(address, path):
    with connect(address) as sock:
        sock.sendall(b"\x01")
        time.sleep(MOMENT)
        sock.sendall(name_of(path))
        answer = sock.recv(2)
        data = contents(path)
        sock.sendall(smallest_header(len(data)) + data)
        return saw(sock, answer)


@style
def u1_name_in_small_sends(address, path):
    """Only for a server that is told to wait for a long quiet moment."""
    with connect(address) as sock:
        sock.sendall(b"\x01")
        for byte in name_of(path):
            sock.send(bytes([byte]))
            time.sleep(MOMENT)
        answer = sock.recv(1024)
        data = contents(path)
        sock.sendall(smallest_header(len(data)) + data)
        return saw(sock, answer)


@style
def u1_thinks(address, *paths):
    """A person: connects, types a name, then the next one. Stops at each other place too."""
    got = b""
    with connect(address) as sock:
        for path in paths:
            time.sleep(THINKING)
            got += u1_name(sock, name_of(path))
            time.sleep(THINKING)
            data = contents(path)
            half = len(data) // 2
            sock.sendall(smallest_header(len(data)))
            time.sleep(THINKING)
            sock.sendall(data[:half])
            time.sleep(THINKING)
            sock.sendall(data[half:])
        return half_close_and_read(sock, got)


@style
def u1_keeps(address, *paths):
    """Several files on one socket, one right after the other."""
    got = b""
    with connect(address) as sock:
        for path in paths:
            got += u1_name(sock, name_of(path))
            data = contents(path)
            sock.sendall(smallest_header(len(data)) + data)
        return half_close_and_read(sock, got)


@style
def u1_quit(address, *paths):
    """As above, and ends with the name QUIT, sent right behind the data."""
    got = b""
    with connect(address) as sock:
        for path in paths:
            got += u1_name(sock, name_of(path))
            data = contents(path)
            sock.sendall(smallest_header(len(data)) + data)
        sock.sendall(b"\x01QUIT")
        return saw(sock, got)


@style
def u1_quit_in_the_same_send(address, path):
    with connect(address) as sock:
        got = u1_name(sock, name_of(path))
        data = contents(path)
        sock.sendall(smallest_header(len(data)) + data + b"\x01QUIT")
        return saw(sock, got)


@style
def u1_quit_later(address, *paths):
    """As above, when its user has thought about it; and the program ends a while after that."""
    got = b""
    with connect(address) as sock:
        for path in paths:
            got += u1_name(sock, name_of(path))
            data = contents(path)
            sock.sendall(smallest_header(len(data)) + data)
        time.sleep(THINKING)
        sock.sendall(b"\x01QUIT")
        time.sleep(THINKING)
        return saw(sock, got)


@style
def u1_name_only(address, name):
    """Reads the answer, and has changed its mind."""
    with connect(address) as sock:
        answer = u1_name(sock, name.encode())
        return saw(sock, answer)


@style
def u1_dies(address, path, how):
    """Half of the data, then the program is killed (`fin`) or the cable is cut (`rst`)."""
    sock = connect(address)
    answer = u1_name(sock, name_of(path))
    data = contents(path)
    sock.sendall(smallest_header(len(data)) + data[: len(data) // 2])
    seen = saw(sock, answer)
    if how == "rst":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return seen


# Task 6, U2: a name with two bytes of length, data with four; the socket is kept.


@style
def u2(address, *paths):
    got = b""
    with connect(address) as sock:
        for path in paths:
            name = name_of(path)
            sock.sendall(struct.pack("<BH", 1, len(name)) + name)
            got += sock.recv(2)
            data = contents(path)
            sock.sendall(struct.pack("<BI", 2, len(data)) + data)
        return half_close_and_read(sock, got)


@style
def u2_closes(address, path):
    with connect(address) as sock:
        name = name_of(path)
        sock.sendall(struct.pack("<BH", 1, len(name)) + name)
        answer = sock.recv(1024)
        data = contents(path)
        sock.sendall(struct.pack("<BI", 2, len(data)))
        sock.sendall(data)
        return saw(sock, answer)


@style
def u2_in_pieces(address, *paths):
    """Each field of each message in a send of its own."""
    got = b""
    with connect(address) as sock:
        for path in paths:
            name, data = name_of(path), contents(path)
            sock.sendall(b"\x01")
            time.sleep(MOMENT)
            sock.sendall(struct.pack("<H", len(name)))
            time.sleep(MOMENT)
            sock.sendall(name)
            got += sock.recv(2)
            for part in (b"\x02", struct.pack("<I", len(data)), data):
                sock.sendall(part)
                time.sleep(MOMENT)
        return half_close_and_read(sock, got)


@style
def u2_thinks(address, *paths):
    got = b""
    with connect(address) as sock:
        for path in paths:
            time.sleep(THINKING)
            name, data = name_of(path), contents(path)
            sock.sendall(struct.pack("<BH", 1, len(name)))
            time.sleep(THINKING)
            sock.sendall(name)
            got += sock.recv(2)
            time.sleep(THINKING)
            sock.sendall(struct.pack("<BI", 2, len(data)))
            time.sleep(THINKING)
            sock.sendall(data)
        return half_close_and_read(sock, got)


# Task 6, U3 and U4: a type of their own for the name; the file ends with the stream.


def to_the_end(address, kind, path, half_close):
    with connect(address) as sock:
        sock.sendall(kind + name_of(path))
        answer = sock.recv(1024)
        if answer == b"OK":
            sock.sendall(contents(path))
        return half_close_and_read(sock, answer) if half_close else saw(sock, answer)


@style
def u3(address, path):
    return to_the_end(address, b"\x03", path, half_close=False)


@style
def u3_half_close(address, path):
    return to_the_end(address, b"\x03", path, half_close=True)


@style
def u4(address, path):
    return to_the_end(address, b"\x05", path, half_close=False)


@style
def u4_half_close(address, path):
    return to_the_end(address, b"\x05", path, half_close=True)


@style
def u3_thinks(address, path):
    with connect(address) as sock:
        time.sleep(THINKING)
        sock.sendall(b"\x03" + name_of(path))
        answer = sock.recv(1024)
        data = contents(path)
        half = len(data) // 2
        time.sleep(THINKING)
        sock.sendall(data[:half])
        time.sleep(THINKING)
        sock.sendall(data[half:])
        return half_close_and_read(sock, answer)


# A client of the project's own protocol: every message says its length, and is answered.


def receive(sock, count):
    got = b""
    while len(got) < count:
        part = sock.recv(count - len(got))
        if not part:
            break
        got += part
    return got


@style
def framed(address, *paths):
    """Takes a bare OK too, which has nothing in front of it, and then no receipt comes."""
    got = b""
    with connect(address) as sock:
        for path in paths:
            name, data = name_of(path), contents(path)
            sock.sendall(struct.pack("<BH", 1, len(name)) + name)
            answer = receive(sock, 2)
            if answer != b"OK":
                answer += receive(sock, 1)
                answer += receive(sock, int.from_bytes(answer[1:3], "little"))
            got += answer
            sock.sendall(smallest_header(len(data)) + data)
        return half_close_and_read(sock, got)


@style
def framed_string(address, text):
    with connect(address) as sock:
        data = text.encode()
        sock.sendall(struct.pack("<BH", 1, len(data)) + data)
        return half_close_and_read(sock)


def run(address, name, *arguments):
    host, _, port = address.rpartition(":")
    return STYLES[name]((host, int(port)), *arguments)


def run_each_line(address):
    """One style a line, as JSON: [STYLE, ARGUMENT...]. Saves a test many starts of Python."""
    for line in sys.stdin:
        try:
            seen = run(address, *json.loads(line))
        except Exception:
            seen = {"failed": traceback.format_exc()}
        print(json.dumps(seen), flush=True)


def main():
    if len(sys.argv) == 3 and sys.argv[2] == "-":
        run_each_line(sys.argv[1])
    elif len(sys.argv) >= 3 and sys.argv[2] in STYLES:
        print(json.dumps(run(*sys.argv[1:])))
    else:
        sys.exit(f"{__doc__}\nStyles: {' '.join(STYLES)}")


if __name__ == "__main__":
    main()
