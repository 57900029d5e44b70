"""Processes of others at the sockets of workers and of the fork server."""

from __future__ import annotations

import os
import socket

from bf_batch.engines.forking import start_own_server


def stranger_at(name: bytes) -> bytes:
    """Return what a process that is not the server's parent hears from it, after asking for a worker."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(name)
        try:
            link.send(b"fork")
            heard = link.recv(100)
        except OSError:
            heard = b""
        os.write(write, heard or b"nothing")
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        heard = pipe.read()
    os.waitpid(child, 0)
    return heard


def test_the_fork_server_serves_its_parent_alone(tmp_path):
    with open(tmp_path / "log", "w+b") as log:
        server = start_own_server([], dict(os.environ), log)
        assert server.hear()[0] == "ready"
        assert stranger_at(server._socket.getpeername()) == b"nothing"
        server.close()
        assert server.process is not None
        server.process.wait()
