"""Task 6: stores each file under the name that came before it, as it arrives.

Grammar u1: 01 and a name in one send, answered OK; then 02 to 09, a length on 1 to 8 bytes, least
significant first, and so many bytes, unanswered. Only a quiet moment tells where the name ends.

The mistake: the socket is closed by the last line, which an exception before it never lets run: the
client waits, and only the console says why.
"""
import os
import socket
import sys
import threading

QUIET = 0.1  # seconds without a byte that end a name


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


def receive_name(client):
    name = receive(client, 200)
    client.settimeout(QUIET)
    try:
        while True:
            name += receive(client, 200)
    except socket.timeout:
        client.settimeout(None)
        return name.decode()


def serve(client, address):
    # the mistake: no `with client:` or `finally:`, so an exception leaves it open
    while client.recv(1) == b"\x01":
        name = receive_name(client)
        with open(name + ".part", "wb", buffering=0) as file:
            client.sendall(b"OK")
            width = receive_exactly(client, 1)[0] - 1
            size = int.from_bytes(receive_exactly(client, width), "little")
            while file.tell() < size:
                file.write(receive(client, min(size - file.tell(), 65536)))
        os.replace(name + ".part", name)
        print(address[0], "sent", name, flush=True)
    client.close()


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    threading.Thread(target=serve, args=(client, address), daemon=True).start()
