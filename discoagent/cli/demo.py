"""A demo service of `discoctl dev`: answers every connection with one line over HTTP.

Run by its path, with the descriptor of a listening socket and the line; it needs nothing of the
package.
"""

import socket
import sys


def serve(listener: socket.socket, line: str) -> None:
    """Answer one connection after the other, for ever. A caller that stays mute is hung up on."""
    body = f"{line}\n".encode()
    head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    while True:
        connection, _address = listener.accept()
        with connection:
            connection.settimeout(1)
            try:
                connection.recv(65_536)
                connection.sendall(head.encode() + body)
            except OSError:
                continue


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
