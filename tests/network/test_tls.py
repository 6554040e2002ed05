"""The same through TLS, where the server's transport is another one than the socket's."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.network.conftest import SERVERS, eventually, launch
from tests.network.test_slow import sockets
from tests.servers.servers import HOST, Config

OPTIONS = {
    "uvicorn": ("--ssl-keyfile", "{key}", "--ssl-certfile", "{certificate}"),
    "granian": ("--ssl-keyfile", "{key}", "--ssl-certificate", "{certificate}"),
}
NAMES = {"uvicorn-h11-asyncio", "uvicorn-httptools-uvloop", "granian"}
"""A transport of asyncio's, one of uvloop's, one that is looked up."""
CONFIGS = [config for config in SERVERS if config.name in NAMES]


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A key and a certificate of its own."""
    if shutil.which("openssl") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made = {"key": str(folder / "key.pem"), "certificate": str(folder / "certificate.pem")}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}"]
    files = ["-keyout", made["key"], "-out", made["certificate"], "-days", "2"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return made


def _ask(port: int, target: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    plain.settimeout(10)
    plain.connect((HOST, port))
    client = context.wrap_socket(plain)
    client.sendall(f"GET {target} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
    assert client.recv(1024)
    return client


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_the_socket_of_a_client_that_never_reads_is_freed(
    config: Config, identity: dict[str, str], tmp_path: Path
) -> None:
    options = tuple(option.format(**identity) for option in OPTIONS[config.package])
    server = launch(dataclasses.replace(config, args=config.args + options), tmp_path)
    try:
        with _ask(server.port, "/big?send=1") as unread, _ask(server.port, "/idle") as left:
            assert eventually(lambda: "slow_client after" in server.output())
            assert eventually(lambda: not sockets(unread, server.port)), sockets(unread, server.port)
            left.sendall(b"GET /idle HTTP/1.1\r\nhost: test\r\n\r\n")
            socket.socket.shutdown(left, socket.SHUT_WR)  # the FIN behind a request that nobody reads
            assert eventually(lambda: "client_gone after" in server.output())
            server.terminate()
            server.process.wait(2.5)
        assert "Traceback" not in server.output()
    finally:
        server.stop()
