"""The peers that judge nothing, or next to nothing: no proxy at all, nginx if the machine has one, the aiohttp proxy."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .peers import Peer
from .processes import child, free_port, wait_for_port
from .workload import PATH, Workload

NGINX = shutil.which("nginx")
_NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream target {{ server 127.0.0.1:{upstream_port}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://target; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


def direct(upstream_port: int, upstream_pid: int) -> Peer:
    """The upstream itself: what a call costs with nothing between."""
    return Peer("direct", "no proxy (CPU: the upstream's)", upstream_port, [upstream_pid], PATH, judges=False)


@contextlib.contextmanager
def nginx(upstream_port: int, folder: Path) -> Iterator[Peer]:
    """nginx as a plain proxy, one worker. Only if the machine has one: it is never installed from here."""
    assert NGINX is not None
    port, log, config = free_port(), folder / "nginx.log", folder / "nginx.conf"
    config.write_text(_NGINX_CONF.format(folder=folder, port=port, upstream_port=upstream_port))
    with child([NGINX, "-p", str(folder), "-c", str(config)], log) as process:
        wait_for_port(process, port, log)
        yield Peer("nginx", "plain proxy", port, [process.pid], PATH, judges=False)


def nginx_version() -> str:
    assert NGINX is not None
    return subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr.rpartition("/")[2].strip()


@contextlib.contextmanager
def aiohttp_proxy(work: Workload, upstream_port: int, folder: Path) -> Iterator[Peer]:
    """The Python baseline."""
    port, log, keys = free_port(), folder / "aiohttp.log", folder / "aiohttp-jwks.json"
    keys.write_text(json.dumps(work.jwks))
    command = [sys.executable, "-m", "bench.aiohttp_proxy", str(port), str(upstream_port), str(keys)]
    with child(command, log) as process:
        wait_for_port(process, port, log)
        yield Peer("aiohttp", "token, one comparison", port, [process.pid], PATH)
