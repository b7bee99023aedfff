"""The server's certificate: read before anything starts, and read again while connections go on."""

from __future__ import annotations

import ssl

from ensue.config import ServerConfig
from ensue.errors import ConfigError


def server_context(server: ServerConfig) -> ssl.SSLContext | None:
    """A context with the certificate and key that the settings name; None where they name none.

    Raises:
        ConfigError: one of them is missing, can't be read, or does not fit the other.
    """
    if server.tls_cert is None and server.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, server)
    return context


def load_certificate(context: ssl.SSLContext, server: ServerConfig) -> None:
    """Use the files as they are now for connections from now on.

    Raises:
        ConfigError: as above; the context keeps what it had.
    """
    if server.tls_cert is None or server.tls_key is None:
        raise ConfigError("--tls-cert and --tls-key belong together: give both files or neither.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.tls_cert, server.tls_key, _no_password)
        context.load_cert_chain(server.tls_cert, server.tls_key, _no_password)
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise ConfigError(f"--tls-cert {server.tls_cert} and --tls-key {server.tls_key}: {reason}.") from None


def _no_password() -> str:
    raise ConfigError("--tls-key is encrypted: give a key without a password, readable by the server alone.")
