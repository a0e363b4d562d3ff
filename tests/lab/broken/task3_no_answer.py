"""Task 3: prints a text, and should answer `Message: ` and the text.

Grammar: raw text. It ends with the client's stream, at 4096 bytes, or when the client has been
quiet for a moment, because some clients wait for the answer and end their stream after it.

The mistake: nothing is answered.
"""
import socket
import sys
import threading

MOST = 4096  # bytes in a text
QUIET = 0.1  # seconds without a byte that end a text


def receive_text(client):
    text = client.recv(MOST)
    client.settimeout(QUIET)
    try:
        while len(text) < MOST and (piece := client.recv(MOST - len(text))):
            text += piece
    except socket.timeout:
        pass  # The client waits for its answer.
    client.settimeout(None)
    return text


def serve(client, address):
    with client:
        text = receive_text(client)
        print(address[0], text.decode(errors="replace"), flush=True)
        # the mistake: client.sendall(b"Message: " + text) is missing
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass  # To close with bytes unread would reset the connection.


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    threading.Thread(target=serve, args=(client, address), daemon=True).start()
