"""The proxies as they are tested: each one's documented file, its defaults, what else is met in the field."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers.servers import HOST, ROOT, Config

SNIPPETS = ROOT / "docs" / "snippets" / "proxies"
_NGINX_MAIN = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
{extra}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {site};
}}
"""


@dataclass(frozen=True, kw_only=True)
class Proxy(Config):
    """One proxy with one configuration; started like a server, with the backend's port for an application.

    Attributes:
        kind: "nginx", "haproxy" or "caddy": the command, and Debian's package.
        site: the configuration, with 80 for the port it listens on and 8000 for the backend's; "" is the
            documented file.
        main: lines for the part around it, which every installation has of its own.
        directory: where the process keeps its files; made when it starts.
    """

    kind: str
    site: str = ""
    main: str = ""
    args: tuple[str, ...] = ()
    directory: Path = Path()

    @property
    def package(self) -> str:
        """Debian's package, and the command."""
        return self.kind

    def command(self, app: str, port: int) -> list[str]:
        """Write the files for a proxy on `port` of the backend at port `app`; the command that runs it."""
        self.directory.mkdir()
        text = self.site or snippet(self.kind)
        self.configuration.write_text(with_ports(text, port, int(app)))
        return _COMMANDS[self.kind](self)

    @property
    def configuration(self) -> Path:
        """The file that `site` is written to."""
        return self.directory / FILES[self.kind]


def snippet(kind: str) -> str:
    """The file that the documentation shows."""
    return (SNIPPETS / FILES[kind]).read_text()


def with_ports(text: str, port: int, backend: int) -> str:
    """The configuration with its two ports replaced, and nothing else."""
    text, listens = re.subn(r"\b80\b", str(port), text)
    text, forwards = re.subn(r"\b8000\b", str(backend), text)
    assert (listens, forwards) == (1, 1), text
    return text


def executable(kind: str) -> str:
    """The proxy's command; Debian keeps it where only root looks."""
    found = shutil.which(kind, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return found or kind


def _nginx(proxy: Proxy) -> list[str]:
    main = proxy.directory / "main.conf"
    # Workers that are not root could not enter a directory of root's tests.
    user = "user root;" if os.geteuid() == 0 else ""
    main.write_text(
        _NGINX_MAIN.format(directory=proxy.directory, site=proxy.configuration, extra=f"{user}\n{proxy.main}")
    )
    return [executable(proxy.kind), "-p", str(proxy.directory), "-e", "stderr", "-c", str(main)]


def _haproxy(proxy: Proxy) -> list[str]:
    main = proxy.directory / "global.cfg"
    main.write_text(f"global\n    maxconn 1000\n    {proxy.main}\n")
    return [executable(proxy.kind), "-W", "-db", "-f", str(main), "-f", str(proxy.configuration)]


def _caddy(proxy: Proxy) -> list[str]:
    options = "\n".join(f"\t{line}" for line in (f"admin {admin_socket(proxy)}", *proxy.main.splitlines()))
    caddy_main(proxy).write_text(f"{{\n{options}\n}}\n\nimport {proxy.configuration}\n")
    homes = (f"XDG_{name}_HOME={proxy.directory}" for name in ("CONFIG", "DATA"))
    run = (executable(proxy.kind), "run", "--adapter", "caddyfile", "--config", str(caddy_main(proxy)))
    return ["env", *homes, *run]


def caddy_main(proxy: Proxy) -> Path:
    """The file around a caddy's `site`."""
    return proxy.directory / "main.Caddyfile"


def admin_socket(proxy: Proxy) -> str:
    """Where a caddy takes orders."""
    return f"unix/{proxy.directory}/admin.sock"


_COMMANDS: Mapping[str, Callable[[Proxy], list[str]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
}
FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}


def _nginx_site(*, listen: str = "80", extra: str = "", version: str = "1.1") -> str:
    proxied = f"proxy_pass http://{HOST}:8000; proxy_http_version {version};"
    return f"server {{ listen {listen}; location / {{ {proxied} {extra} }} }}\n"


def _haproxy_site(*, timeout: str = "50s", extra: str = "", bind: str = "") -> str:
    return "\n    ".join(
        (
            "defaults",
            "mode http",
            "timeout connect 5s",
            f"timeout client {timeout}",
            f"timeout server {timeout}",
            "\nfrontend web",
            f"bind :80 {bind}",
            "default_backend app",
            "\nbackend app",
            extra,
            f"server one {HOST}:8000\n",
        )
    )


def _caddy_site(*, proxy: str = "", site: str = "") -> str:
    return f":80 {{\n{site}\nreverse_proxy {HOST}:8000 {{\n{proxy}\n}}\n}}\n"


_NGINX_GZIP = "gzip on; gzip_proxied any; gzip_min_length 1; gzip_types text/event-stream;"
_HAPROXY_GZIP = "filter compression\n    compression algo gzip\n    compression type text/event-stream"
_CADDY_GZIP = "encode {\ngzip\nminimum_length 1\nmatch {\nheader Content-Type text/event-stream*\n}\n}"

VARIANTS = (
    Proxy(name="nginx", kind="nginx"),
    # 1.0 is what nginx spoke to backends by default until 1.29.
    Proxy(name="nginx-default", kind="nginx", site=_nginx_site(version="1.0")),
    Proxy(name="nginx-gzip", kind="nginx", site=_nginx_site(extra=_NGINX_GZIP)),
    Proxy(name="nginx-3s", kind="nginx", site=_nginx_site(extra="proxy_read_timeout 3s;")),
    Proxy(
        name="nginx-ignoring",
        kind="nginx",
        site=_nginx_site(extra="proxy_ignore_client_abort on; proxy_read_timeout 3s;"),
    ),
    Proxy(name="nginx-http2", kind="nginx", site=_nginx_site(listen="80 http2")),
    Proxy(name="nginx-impatient", kind="nginx", main="worker_shutdown_timeout 1s;"),
    Proxy(name="nginx-vanished", kind="nginx", site=_nginx_site(listen="80 so_keepalive=1s:1s:2")),
    Proxy(name="haproxy", kind="haproxy"),
    Proxy(name="haproxy-default", kind="haproxy", site=_haproxy_site()),
    Proxy(name="haproxy-gzip", kind="haproxy", site=_haproxy_site(extra=_HAPROXY_GZIP)),
    Proxy(name="haproxy-3s", kind="haproxy", site=_haproxy_site(timeout="3s")),
    Proxy(name="haproxy-http2", kind="haproxy", site=_haproxy_site(bind="proto h2")),
    Proxy(name="haproxy-impatient", kind="haproxy", main="hard-stop-after 1s"),
    Proxy(name="haproxy-vanished", kind="haproxy", site=_haproxy_site(bind="tcp-ut 3s")),
    Proxy(name="caddy", kind="caddy"),
    Proxy(name="caddy-gzip", kind="caddy", site=_caddy_site(site=_CADDY_GZIP)),
    Proxy(name="caddy-3s", kind="caddy", site=_caddy_site(proxy="transport http {\nread_timeout 3s\n}")),
    Proxy(name="caddy-flushing", kind="caddy", site=_caddy_site(proxy="flush_interval -1")),
    Proxy(name="caddy-http2", kind="caddy", site=_caddy_site(), main="servers {\nprotocols h1 h2c\n}"),
    Proxy(name="caddy-impatient", kind="caddy", main="grace_period 1s"),
)
BY_NAME = {proxy.name: proxy for proxy in VARIANTS}
