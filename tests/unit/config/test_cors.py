"""What the file says of pages that call from a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.app import read_parts
from funcgate.config.problems import Faulty

Write = Callable[..., Path]
TEXT = """\
listen:
  calls: 127.0.0.1:0
  console: 127.0.0.1:0
  cors: CORS
issuers:
  - {name: corp, issuer: https://idp.example, audience: funcgate, jwks_file: ./jwks.json}
targets:
  - {name: shop, protocol: http, url: http://127.0.0.1:1, functions: [{name: read, http: GET /read}]}
policies:
  - {name: readers, effect: allow, functions: [shop.read], principals: ["group:agents"]}
"""


@pytest.mark.parametrize(
    ("cors", "says"),
    [
        ('{origins: ["*"]}', "'*' is no origin"), ("{origins: [null]}", "origins"), ("{origins: []}", "no page is named"),
        ("{origins: [https://a.example/]}", "is no origin"), ("{origins: [HTTPS://a.example]}", "is no origin"),
        ("{origins: [https://*.example]}", "is no origin"), ("{origins: [https://a.example:443]}", "browsers leave :443 out"),
        ("{origins: [https://a.example], headers: [Cookie]}", "is no field"), ("{headers: [x]}", "origins"),
        ("{origins: [https://a.example], expose: ['a, b']}", "is no field"),
    ],
)  # fmt: skip
def test_slips(write: Write, cors: str, says: str) -> None:
    with pytest.raises(Faulty) as caught:
        read_parts(write(text=TEXT.replace("CORS", cors)))
    assert says in str(caught.value)


def test_it_is_read(write: Write) -> None:
    text = "{origins: [https://a.example, 'http://[::1]:3000'], headers: [X-Tenant], max_age: 1m}"
    cors = read_parts(write(text=TEXT.replace("CORS", text))).cors
    assert cors is not None
    assert cors.origins == ("https://a.example", "http://[::1]:3000")
    assert (cors.headers, cors.expose, cors.max_age_s) == (("x-tenant",), (), 60)
    assert read_parts(write(text=TEXT.replace("  cors: CORS\n", ""))).cors is None
