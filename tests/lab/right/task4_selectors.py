"""Task 4, done right: prints a text, or stores a file under a random name, all on one thread.

Grammar: 01 and a text, or 02 and the bytes of a file; both to the end of the stream, unanswered.
"""
import random
import selectors
import socket
import string
import sys


def random_name():
    return "".join(random.choices(string.ascii_letters + string.digits, k=8)) + ".bin"


def handle(address, message):
    if message[:1] == b"\x01":
        print(address[0], message[1:].decode(errors="replace"), flush=True)
    elif message[:1] == b"\x02":
        with open(random_name(), "wb") as file:
            file.write(message[1:])


selector = selectors.DefaultSelector()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
selector.register(listener, selectors.EVENT_READ)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            client, address = listener.accept()
            selector.register(client, selectors.EVENT_READ, (address, bytearray()))
            continue
        address, message = key.data
        try:
            piece = key.fileobj.recv(4096)
            message += piece
            if piece:
                continue
            handle(address, message)
        except OSError as error:
            print(address[0], error, flush=True)
        selector.unregister(key.fileobj)
        key.fileobj.close()
