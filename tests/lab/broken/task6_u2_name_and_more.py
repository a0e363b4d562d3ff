"""Task 6: stores each file under the name that came before it, as it arrives.

Grammar u2: 01, a length on 2 bytes and a name, answered OK; then 02, a length on 4 bytes and so
many bytes, unanswered. Lengths have their least significant byte first.

The mistake: all that came with the name is taken for the name.
"""
import os
import socket
import sys
import threading


def receive(client, most):
    piece = client.recv(most)
    if not piece:
        raise ConnectionError("the client ended its stream early")
    return piece


def receive_exactly(client, count):
    data = b""
    while len(data) < count:
        data += receive(client, count - len(data))
    return data


def receive_length(client, width):
    return int.from_bytes(receive_exactly(client, width), "little")


def serve(client, address):
    with client:
        while client.recv(1) == b"\x01":
            length = receive_length(client, 2)
            name = b""
            while len(name) < length:
                name += receive(client, 4096)  # the mistake: the file may have come along with it
            name = name.decode(errors="replace")
            if name in ("", ".", "..") or "/" in name:
                return
            with open(name + ".part", "wb", buffering=0) as file:
                client.sendall(b"OK")
                if receive_exactly(client, 1) != b"\x02":
                    return
                size = receive_length(client, 4)
                while file.tell() < size:
                    file.write(receive(client, min(size - file.tell(), 65536)))
            os.replace(name + ".part", name)
            print(address[0], "sent", name, flush=True)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    threading.Thread(target=serve, args=(client, address), daemon=True).start()
