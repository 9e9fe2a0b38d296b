"""Nobody is told that the gateway is ready before callers can connect at every address."""

from pathlib import Path

from funcgate.app import read_parts
from funcgate.app.serving import Serving
from support.authority import Authority

TEXT = """\
listen: {calls: 127.0.0.1:0, console: 127.0.0.1:0}
data_dir: ./data
issuers:
  - {name: corp, issuer: https://idp.example, audience: funcgate, jwks_file: ./jwks.json}
targets:
  - {name: shop, protocol: http, url: http://127.0.0.1:1, functions: [{name: read, http: GET /read}]}
policies:
  - {name: readers, effect: allow, functions: [shop.read], principals: ["group:agents"]}
"""


def test_before_the_listeners_are_up(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "funcgate.yaml"
    path.write_text(TEXT.replace("./jwks.json", str(authority.jwks_file)))
    serving = Serving(path, read_parts(path, serving=True))
    health = serving._health()
    assert not health.ready
    assert health.checks["listening"] == "callers cannot connect yet"
