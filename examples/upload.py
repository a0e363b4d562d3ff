#!/usr/bin/env python3
"""Uploads files to a piecemeal server: python3 upload.py HOST:PORT FILE…"""
import os
import socket
import sys

STRING, DATA_1B, PUT = 1, 2, 16


def receive(sock, count):
    # TCP carries a stream of bytes: one recv may give fewer than we asked for, so we ask again.
    got = b""
    while len(got) < count:
        part = sock.recv(count - len(got))
        if not part:  # An empty part means that the server has closed the connection.
            sys.exit("the server closed the connection before it answered")
        got += part
    return got


def status(sock):
    # Each reply is a STRING: one byte of type, two bytes of length, and that much text.
    header = receive(sock, 3)
    text = receive(sock, int.from_bytes(header[1:], "little")).decode()
    return text.split("\n")[0]  # The first line says OK or ERR; the others say more.


def upload(sock, path):
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        fields = f"name={os.path.basename(path)}\nsize={size}\n".encode()
        sock.sendall(bytes([PUT]) + len(fields).to_bytes(2, "little") + fields)
        answer = status(sock)
        if answer != "OK":  # The server won't take this file, so we don't send it.
            return answer
        # The length of DATA_1B has one byte, that of DATA_2B two: we take as few as will do.
        width = max(1, (size.bit_length() + 7) // 8)
        try:
            sock.sendall(bytes([DATA_1B + width - 1]) + size.to_bytes(width, "little"))
            while size > 0:
                block = file.read(min(size, 65536))
                if not block:  # We promised more bytes than there are: we can only hang up.
                    sys.exit(f"{path} became shorter while it was read")
                sock.sendall(block)
                size -= len(block)
        except ConnectionError:
            pass  # The server hung up, but first it said why: we still read its answer.
        return status(sock)  # OK means that the file is safe on the server's disk.


if len(sys.argv) < 3:
    sys.exit(__doc__)
host, _, port = sys.argv[1].rpartition(":")
failed = False
with socket.create_connection((host.strip("[]"), int(port))) as connection:
    for path in sys.argv[2:]:
        answer = upload(connection, path)
        print(f"{path}: {answer}")
        failed = failed or answer != "OK"
sys.exit(failed)
