"""Task 1: prints who connects, and closes.

Grammar: nothing is read, and nothing is sent.

The mistake: it waits for a byte before it closes, so a client that sends none is never let go.
"""
import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    print(address[0], flush=True)
    client.recv(1024)  # the mistake: nobody said that a client sends anything
    client.close()
