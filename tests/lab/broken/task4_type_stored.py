"""Task 4: prints a text, or stores a file under a random name.

Grammar: 01 and a text, or 02 and the bytes of a file; both to the end of the stream, unanswered.

The mistake: the type byte is stored as the first byte of the file.
"""
import random
import socket
import string
import sys
import threading


def receive_all(client):
    data = bytearray()
    while piece := client.recv(4096):
        data += piece
    return data


def random_name():
    return "".join(random.choices(string.ascii_letters + string.digits, k=8)) + ".bin"


def serve(client, address):
    with client:
        body = receive_all(client)
        kind = body[:1]  # the mistake: it stays in the body, too
        if kind == b"\x01":
            print(address[0], body[1:].decode(errors="replace"), flush=True)
        elif kind == b"\x02":
            name = random_name()
            with open(name, "wb") as file:
                file.write(body)
            print(address[0], "sent", name, flush=True)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    threading.Thread(target=serve, args=(client, address), daemon=True).start()
