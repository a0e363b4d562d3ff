"""Servers as people write them for the course's tasks, to try the clients on.

    servers.py KIND FOLDER

One connection after the other, files go into FOLDER, and each line that is printed says what was
received. They share no code with the project, and they are as simple as such programs are: the
type and what belongs to it are expected in one recv, which is what a client has to put up with.
"""

import os
import socket
import string
import sys
from random import SystemRandom


def exactly(peer, size):
    """So many bytes, however many recvs that takes."""
    data = b""
    while len(data) < size:
        piece = peer.recv(min(65536, size - len(data)))
        if not piece:
            raise EOFError
        data += piece
    return data


def to_the_end(peer):
    data = b""
    while piece := peer.recv(65536):
        data += piece
    return data


def number(data):
    return int.from_bytes(data, "little")


def store(folder, name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)
    print(f"stored {name}, {len(data)} bytes", flush=True)


def random_name():
    letters = string.ascii_letters + string.digits
    return "".join(SystemRandom().choice(letters) for _ in range(8)) + ".bin"


# Task 6, one server a grammar.


def upload_u1(peer, folder):
    while first := peer.recv(4097):
        if first[0] != 1:
            print(f"type {first[0]} where a name was due", flush=True)
            return
        peer.sendall(b"OK")
        head = peer.recv(1)
        if not head:
            return
        size = exactly(peer, head[0] - 1)
        store(folder, first[1:].decode(), exactly(peer, number(size)))


def upload_u1_once(peer, folder):
    """The same for one file, with the socket closed behind it."""
    first = peer.recv(4097)
    peer.sendall(b"OK")
    head = peer.recv(1)
    data = exactly(peer, number(exactly(peer, head[0] - 1)))
    store(folder, first[1:].decode(), data)


def upload_u2(peer, folder):
    while kind := peer.recv(1):
        if kind != b"\x01":
            print(f"type {kind[0]} where a name was due", flush=True)
            return
        name = exactly(peer, number(exactly(peer, 2))).decode()
        peer.sendall(b"OK")
        if exactly(peer, 1) != b"\x02":
            return
        store(folder, name, exactly(peer, number(exactly(peer, 4))))


def upload_to_the_end(kind):
    def serve(peer, folder):
        first = peer.recv(4097)
        if not first or first[0] != kind:
            print(f"{first[:1]} where type {kind} was due", flush=True)
            return
        peer.sendall(b"OK")
        store(folder, first[1:].decode(), to_the_end(peer))

    return serve


def upload_framed(raw_answers, receipts):
    def say(peer, text):
        head = b"" if raw_answers else b"\x01" + len(text).to_bytes(2, "little")
        peer.sendall(head + text)

    def serve(peer, folder):
        while kind := peer.recv(1):
            if kind != b"\x01":
                print(f"type {kind[0]} where a name was due", flush=True)
                return
            name = exactly(peer, number(exactly(peer, 2))).decode()
            say(peer, b"OK")
            kind = exactly(peer, 1)
            data = exactly(peer, number(exactly(peer, kind[0] - 1)))
            store(folder, name, data)
            if receipts:
                say(peer, f"OK\nname={name}\nsize={len(data)}".encode())

    return serve


# The tasks before.


def close_at_once(peer, folder):
    """Tasks 1 and 2."""


def answer(words):
    """hello and task 3: the text is over when the stream is."""

    def serve(peer, folder):
        text = to_the_end(peer).decode()
        print(f"text {text}", flush=True)
        peer.sendall(words + text.encode())

    return serve


def never_answer(peer, folder):
    held.append(peer.dup())


def message_4(peer, folder):
    kind = peer.recv(1)
    if kind == b"\x01":
        print(f"text {to_the_end(peer).decode()}", flush=True)
    elif kind == b"\x02":
        store(folder, random_name(), to_the_end(peer))


def message_5(peer, folder):
    kind = peer.recv(1)
    if kind == b"\x01":
        print(f"text {to_the_end(peer).decode()}", flush=True)
    elif kind and 2 <= kind[0] <= 9:
        size = number(exactly(peer, kind[0] - 1))
        data = exactly(peer, size)
        if to_the_end(peer) == b"":
            store(folder, f"type{kind[0]}-{size}.bin", data)


def message_5_u2(peer, folder):
    kind = peer.recv(1)
    if kind == b"\x02":
        size = number(exactly(peer, 4))
        data = exactly(peer, size)
        if to_the_end(peer) == b"":
            store(folder, f"type{kind[0]}-{size}.bin", data)


KINDS = {
    "u1": upload_u1,
    "u1-once": upload_u1_once,
    "u2": upload_u2,
    "u3": upload_to_the_end(3),
    "u4": upload_to_the_end(5),
    "framed": upload_framed(raw_answers=False, receipts=True),
    "framed-no-receipt": upload_framed(raw_answers=False, receipts=False),
    "framed-raw-answers": upload_framed(raw_answers=True, receipts=False),
    "close": close_at_once,
    "hello": answer(b"I have received: "),
    "message": answer(b"Message: "),
    "received": answer(b"Message received: "),
    "never": never_answer,
    "task4": message_4,
    "task5": message_5,
    "task5-u2": message_5_u2,
}

held = []


def main():
    kind, folder = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        while True:
            peer, _ = server.accept()
            with peer:
                try:
                    KINDS[kind](peer, folder)
                except (ConnectionError, EOFError) as error:
                    print(f"incomplete: {error!r}", flush=True)


main()
