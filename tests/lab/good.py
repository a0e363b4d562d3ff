"""Right servers for every task, as a good student writes them: a thread for each connection, and a
loop around every recv. The checker has to pass them.

    python3 good.py TASK PORT [GRAMMAR]

TASK is hello or 1 to 6, GRAMMAR u1 (the default), u2, u3, u4 or framed. Files land in the current
folder. In task 6 the sockets of u1, u2 and framed are kept for more uploads.
"""

import os
import random
import socket
import string
import sys
import threading

TASK, PORT = sys.argv[1], int(sys.argv[2])
GRAMMAR = sys.argv[3] if len(sys.argv) > 3 else "u1"
FRAMED = GRAMMAR == "framed"


class Gone(Exception):
    """The stream ended in the middle of something."""


def exactly(connection, count):
    """All of `count` bytes; recv alone brings what happens to be there."""
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(min(65536, count - len(data)))
        if not piece:
            raise Gone
        data += piece
    return bytes(data)


def number(connection, width):
    return int.from_bytes(exactly(connection, width), "little")


def to_the_end(connection, most=None):
    data = bytearray()
    while piece := connection.recv(65536):
        data += piece
        if most and len(data) > most:
            raise Gone
    return bytes(data)


def until_quiet(connection, most=1024, quiet=0.05):
    """A name or a text whose end nothing tells but the end of the stream, or a pause."""
    data = connection.recv(4096)
    connection.settimeout(quiet)
    try:
        while data and len(data) <= most:
            piece = connection.recv(4096)
            if not piece:
                break
            data += piece
    except TimeoutError:
        pass
    finally:
        connection.settimeout(None)
    if not data:
        raise Gone
    return data


def reply(connection, text):
    data = text if isinstance(text, bytes) else text.encode()
    if FRAMED:
        data = b"\x01" + len(data).to_bytes(2, "little") + data
    connection.sendall(data)


def random_name():
    letters = string.ascii_letters + string.digits
    return "".join(random.SystemRandom().choices(letters, k=8)) + ".bin"


def receive(connection, name, size):
    """Writes a file as it comes, and gives it its name when all of it is there."""
    part = f".{threading.get_ident()}-{random_name()}.part"
    try:
        with open(part, "wb") as file:
            left = size
            while left is None or left > 0:
                piece = connection.recv(65536 if left is None else min(65536, left))
                if not piece:
                    if left is None:
                        break
                    raise Gone
                file.write(piece)
                file.flush()
                if left is not None:
                    left -= len(piece)
        os.replace(part, name)
    finally:
        if os.path.exists(part):
            os.remove(part)
    if FRAMED:
        reply(connection, f"OK\nname={name}\nsize={os.path.getsize(name)}\ndurable=no")


def good_name(data):
    try:
        name = data.decode()
    except UnicodeDecodeError:
        return None
    bad = not name.isprintable() or "/" in name or name.startswith(".") or len(data) > 200
    return None if bad or not name else name


def data_size(connection, kind):
    """The size in front of a file, or None where the file goes to the end."""
    if GRAMMAR == "u2":
        if kind != 2:
            raise Gone
        return number(connection, 4)
    if not 2 <= kind <= 9:
        raise Gone
    return number(connection, kind - 1)


def hello(connection, words):
    if FRAMED:
        if number(connection, 1) != 1:
            raise Gone
        text = exactly(connection, number(connection, 2))
    else:
        # Whoever waits for an answer can wait a little longer than one with a name.
        text = until_quiet(connection, 8192, 0.3)
    print(text)
    reply(connection, words + text)


def text_or_file(connection):
    kind = number(connection, 1)
    if kind == 1:
        text = exactly(connection, number(connection, 2)) if FRAMED else to_the_end(connection, 4096)
        print(text.decode(errors="replace"))
        if FRAMED:
            reply(connection, "OK")
    elif TASK == "4" and not FRAMED:
        if kind != 2:
            raise Gone
        receive(connection, random_name(), None)
    else:
        receive(connection, random_name(), data_size(connection, kind))


def upload(connection):
    kind = number(connection, 1)
    if kind != {"u3": 3, "u4": 5}.get(GRAMMAR, 1):
        raise Gone
    if GRAMMAR in ("u2", "framed"):
        name = exactly(connection, number(connection, 2))
    else:
        name = until_quiet(connection)
    name = good_name(name)
    if not name:
        raise Gone
    reply(connection, "OK")
    if GRAMMAR in ("u3", "u4"):
        return receive(connection, name, None)
    receive(connection, name, data_size(connection, number(connection, 1)))


def serve(connection, peer):
    with connection:
        print("connected:", peer)
        try:
            if TASK == "hello":
                hello(connection, b"I have received: ")
            elif TASK == "3":
                hello(connection, b"Message: ")
            elif TASK in ("4", "5"):
                text_or_file(connection)
            elif TASK == "6":
                while True:
                    upload(connection)
                    if GRAMMAR in ("u3", "u4"):
                        break
        except (Gone, OSError):
            pass
        if TASK not in ("1", "2"):
            drain(connection)


def drain(connection):
    """What lies unread when a socket is closed turns its end into a reset."""
    try:
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1)
        while connection.recv(65536):
            pass
    except OSError:
        pass


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", PORT))
listener.listen(128)
print("listening")
while True:
    accepted, address = listener.accept()
    threading.Thread(target=serve, args=(accepted, address), daemon=True).start()
