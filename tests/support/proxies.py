"""nginx, Caddy and HAProxy as the page about proxies sets them up, before replicas of ours."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx

from app.commands.embedded.host import free_port
from tests.support.pgbouncer import LIBRARIES, PLACES
from tests.support.servers import ROOT
from tests.support.service import until

PAGE = ROOT / "app" / "edge" / "README.md"
HOST, PREFIX = "chat.example.org", "/chat"
PROGRAMS = {name: shutil.which(name, path=PLACES) for name in ("nginx", "caddy", "haproxy")}
NGINX = """
{user} daemon off; pid {folder}/pid; error_log stderr warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/page;
}}
"""
AS_ROOT = "user root;" if os.geteuid() == 0 else ""  # whoever else it runs as cannot write here
CADDY = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
CHUNK = 1 << 16
COMMANDS = {
    "nginx": ("-e", "stderr", "-p", "{folder}", "-c", "{folder}/configuration"),
    "caddy": ("run", "--adapter", "caddyfile", "--config", "{folder}/configuration"),
    "haproxy": ("-db", "-f", "{folder}/configuration"),
}


@dataclass
class Proxy:
    """The proxy as a client on this machine reaches it, by a name that no server knows."""

    port: int
    trusted: ssl.SSLContext

    def client(self, source: str = "127.0.0.1", token: str = "") -> httpx.AsyncClient:
        headers = {"Host": HOST} | ({"Authorization": f"Bearer {token}"} if token else {})
        transport = _Named(local_address=source, verify=self.trusted)
        address = f"https://127.0.0.1:{self.port}{PREFIX}"
        return httpx.AsyncClient(transport=transport, base_url=address, headers=headers, timeout=30)

    async def status_of_upload(self, path: str, token: str, size: int) -> int:
        """Send a body as browsers and curl do, who meanwhile look for an answer."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.trusted, server_hostname=HOST
        )
        lines = [f"POST {PREFIX}{path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {size}"]
        lines += [f"Authorization: Bearer {token}", "Content-Type: application/json", "", ""]
        writer.write("\r\n".join(lines).encode())
        upload = asyncio.create_task(_upload(writer, size))
        try:
            return int((await reader.readuntil(b"\r\n")).split()[1])
        finally:
            upload.cancel()
            writer.transport.abort()


async def _upload(writer: asyncio.StreamWriter, size: int) -> None:
    with suppress(OSError):
        for start in range(0, size, CHUNK):
            writer.write(b"x" * min(CHUNK, size - start))
            await writer.drain()


class _Named(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = HOST
        return await super().handle_async_request(request)


@contextmanager
def running(name: str, folder: Path, replicas: tuple[int, int]) -> Generator[Proxy]:
    program, port = PROGRAMS[name], free_port()
    assert program
    _make_certificate(folder)
    page = _from_page(name, folder, port, replicas)
    (folder / "page").write_text(page)
    given = {
        "nginx": NGINX.format(folder=folder, user=AS_ROOT),
        "caddy": CADDY + page,
        "haproxy": page,
    }
    (folder / "configuration").write_text(given[name])
    command = [program, *(word.format(folder=folder) for word in COMMANDS[name])]
    environment = os.environ | LIBRARIES | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with Popen(command, env=environment) as process:
        try:
            until(lambda: _listens(port, process))
            yield Proxy(port, ssl.create_default_context(cafile=folder / "certificate"))
        finally:
            process.terminate()


def _from_page(name: str, folder: Path, port: int, replicas: tuple[int, int]) -> str:
    """Change in the page's file what must be another one here: ports, addresses, files."""
    [text] = re.findall(rf"(?ms)^```{name}\n(.*?)^```", PAGE.read_text())
    changes = {
        "10.0.0.11:8000": f"127.0.0.1:{replicas[0]}",
        "10.0.0.12:8000": f"127.0.0.1:{replicas[1]}",
        "/etc/ssl/chat.example.org-with-key.pem": f"{folder}/both",
        "/etc/ssl/chat.example.org.pem": f"{folder}/certificate",
        "/etc/ssl/chat.example.org.key": f"{folder}/key",
        "listen 443": f"listen 127.0.0.1:{port}",
        "bind :443": f"bind 127.0.0.1:{port}",
        f"{HOST} {{": f"{HOST}:{port} {{\n\tbind 127.0.0.1",
    }
    for before, after in changes.items():
        text = text.replace(before, after)
    assert str(port) in text
    return text


def _make_certificate(folder: Path) -> None:
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "2"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    both = (folder / "certificate").read_text() + (folder / "key").read_text()
    (folder / "both").write_text(both)


def _listens(port: int, process: Popen[bytes]) -> bool:
    assert process.poll() is None, "it does not start"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def replica(environment: dict[str, str], log: Path) -> Generator[tuple[Popen[bytes], int]]:
    """Run the service as the page says, with its log in a file."""
    port = free_port()
    command = [sys.executable, "-m", "litestar", "run", "--port", str(port)]
    environ = environment | {"TRUSTED_PROXIES": "127.0.0.1", "ROOT_PATH": PREFIX}
    with log.open("wb") as output, Popen(command, cwd=ROOT, env=environ, stderr=output) as process:
        try:
            until(lambda: _listens(port, process))
            yield process, port
        finally:
            process.terminate()
