"""Task 1, done right: prints who connects, and closes.

Grammar: nothing is read, and nothing is sent.
"""
import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    print(address[0], flush=True)
    client.close()
