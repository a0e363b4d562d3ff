"""Task 3: prints a text, and answers `Message: ` and the text.

Grammar: raw text. It ends with the client's stream, at 4096 bytes, or when the client has been
quiet for a moment, because some clients wait for the answer and end their stream after it.

The mistake: what the first receive gives is taken for the whole text.
"""
import socket
import sys
import threading

MOST = 4096  # bytes in a text


def receive_text(client):
    return client.recv(MOST)  # the mistake: a text may come in several pieces


def serve(client, address):
    with client:
        text = receive_text(client)
        print(address[0], text.decode(errors="replace"), flush=True)
        client.sendall(b"Message: " + text)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass  # To close with bytes unread would reset the connection.


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    threading.Thread(target=serve, args=(client, address), daemon=True).start()
