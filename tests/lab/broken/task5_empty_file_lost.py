"""Task 5: prints a text, or stores a file whose size came before it.

Grammar: 01 and a text to the end of the stream; or 02 to 09, a length on 1 to 8 bytes, least
significant first, and so many bytes. Nothing is answered.

The mistake: a receive of 0 bytes gives none, and is taken for the end of the stream, so an empty
file is never stored.
"""
import random
import socket
import string
import sys
import threading


def receive_exactly(client, count):
    data = bytearray()
    while True:
        piece = client.recv(min(count - len(data), 65536))
        if not piece:  # the mistake: where count is 0, nothing was asked for
            raise ConnectionError("the client ended its stream early")
        data += piece
        if len(data) == count:
            return data


def random_name():
    return "".join(random.choices(string.ascii_letters + string.digits, k=8)) + ".bin"


def serve(client, address):
    with client:
        kind = receive_exactly(client, 1)[0]
        if kind == 1:
            text = b"".join(iter(lambda: client.recv(4096), b""))
            print(address[0], text.decode(errors="replace"), flush=True)
        elif 2 <= kind <= 9:
            size = int.from_bytes(receive_exactly(client, kind - 1), "little")
            data = receive_exactly(client, size)
            with open(random_name(), "wb") as file:
                file.write(data)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass  # To close with bytes unread would reset the connection.


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    threading.Thread(target=serve, args=(client, address), daemon=True).start()
