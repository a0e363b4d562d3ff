"""Task 2: prints who connects, and closes, with a thread for each.

Grammar: nothing is sent, and what the client sends is dropped.

The mistake: the function is called in the main thread and its result given to the new one, so a
slow client delays all others.
"""
import socket
import sys
import threading


def serve(client, address):
    with client:
        print(address[0], flush=True)
        try:
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass  # To close with bytes unread would reset the connection.
        except OSError as error:
            print(address[0], error, flush=True)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    # the mistake: serve(...) runs here and now; a thread needs serve itself
    threading.Thread(target=serve(client, address), daemon=True).start()
