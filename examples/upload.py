#!/usr/bin/env python3
"""Uploads files to a piecemeal server: python3 upload.py HOST:PORT FILE…"""
import os, socket, sys


def receive(sock, count):
    # TCP is a stream: one recv may return fewer bytes than we asked for, so we ask again.
    got = b""
    while len(got) < count:
        part = sock.recv(count - len(got))
        if not part:  # No bytes at all means that the server has closed the connection.
            sys.exit("the server closed the connection before it answered")
        got += part
    return got


def status(sock):
    # Each reply is a STRING: one byte of type, two bytes of length, and that much text.
    header = receive(sock, 3)
    text = receive(sock, int.from_bytes(header[1:], "little")).decode()
    return text.split("\n")[0]  # The first line is the status. The others say more.


def upload(sock, path):
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        fields = f"name={os.path.basename(path)}\nsize={size}\n".encode()
        sock.sendall(b"\x10" + len(fields).to_bytes(2, "little") + fields)  # Type 16 is PUT.
        answer = status(sock)
        if answer != "OK":  # The server doesn't want this file, so we don't send it.
            return answer
        # Types 2 to 9 are DATA with 1 to 8 bytes of length. We take as few as will do.
        width = max(1, (size.bit_length() + 7) // 8)
        try:
            sock.sendall(bytes([1 + width]) + size.to_bytes(width, "little"))
            if size > 0 and sock.sendfile(file, count=size) < size:  # It sends again, as we recv.
                sys.exit(f"{path} became shorter while it was sent")
        except ConnectionError:
            pass  # The server has hung up, but it said why before, so we read its answer.
        return status(sock)  # OK means that the whole file is safe.


if len(sys.argv) < 3:
    sys.exit(__doc__)
host, _, port = sys.argv[1].rpartition(":")
all_ok = True
with socket.create_connection((host.strip("[]"), int(port))) as connection:
    for path in sys.argv[2:]:
        answer = upload(connection, path)
        print(f"{path}: {answer}", flush=True)
        all_ok = all_ok and answer == "OK"
sys.exit(0 if all_ok else 1)
