"""Task 1: prints who connects, and closes.

Grammar: nothing is read, and nothing is sent.

The mistake: it binds to the port again for each connection, while the one before it still keeps
the port.
"""
import socket
import sys

port = int(sys.argv[1])
while True:
    # the mistake: once is enough, and twice is an error
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    port = listener.getsockname()[1]
    print("listening on 127.0.0.1:%d" % port, flush=True)
    client, address = listener.accept()
    print(address[0], flush=True)
    client.close()
