"""What a worker gets of the gateway's environment: what Python and its libraries go by when it is started; and over the link,
where no other process sees it, what the configuration names for its targets and its content. Nothing else.

A worker reads what attackers send. What signs people in, asks approvers or receives the record is not its business.
"""

import os
from collections.abc import Mapping

from funcgate.config.secrets import carried_variables, secret_variables
from funcgate.config.shape import Config

_PLAIN = frozenset({
    "FUNCGATE_PURE", "FUNCGATE_TRACEBACK", "GLIBC_TUNABLES", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH",
    "SSL_CERT_DIR", "SSL_CERT_FILE", "SYSTEMROOT", "TMPDIR", "TZ",
})  # fmt: skip
# Attack: weaker TLS than the operator's. OPENSSL_CONF alone names providers (FIPS) that OPENSSL_MODULES says where to find.
_PLAIN_BEGIN = ("LC_", "MALLOC_", "OPENSSL_", "PYTHON")


def plain(config: Config, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For its start: nothing that the file names as a secret, whatever its name."""
    hidden = secret_variables(config)
    # Attack: a worker that was taken over, or whoever may look at its process, reads the secret with which channels sign.
    return {
        name: value
        for name, value in environ.items()
        if name not in hidden and (name in _PLAIN or name.startswith(_PLAIN_BEGIN))
    }


def carried(config: Config, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Secrets that calls need, by the names that the file gives."""
    return {name: environ[name] for name in carried_variables(config) if name in environ}
