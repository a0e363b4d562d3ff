"""Task 6: stores each file under the name that came before it, as it arrives.

Grammar framed: 01, a length on 2 bytes and a name; 02 to 09, a length on 1 to 8 bytes and so many
bytes. Lengths have their least significant byte first. Each message is answered by another: 01, a
length on 2 bytes and a text that begins with OK.

The mistake: the answer is the bare text, without a type and a length before it.
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


def answer(client, text):
    client.sendall(text.encode())  # the mistake: an answer is a message like any other


def serve(client, address):
    with client:
        while client.recv(1) == b"\x01":
            name = receive_exactly(client, receive_length(client, 2)).decode()
            if name in ("", ".", "..") or "/" in name:
                answer(client, "ERR bad-name\ntext=a name of one part, please")
                return
            with open(name + ".part", "wb", buffering=0) as file:
                answer(client, "OK")
                kind = receive_exactly(client, 1)[0]
                size = receive_length(client, kind - 1)
                while file.tell() < size:
                    file.write(receive(client, min(size - file.tell(), 65536)))
            os.replace(name + ".part", name)
            answer(client, f"OK\nname={name}\nsize={size}\ndurable=no")


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    threading.Thread(target=serve, args=(client, address), daemon=True).start()
