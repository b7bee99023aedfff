"""JSON Web Tokens of an OIDC issuer in the place of API keys: their claims say what they may do.

Only asymmetric algorithms are known here, so that a public key can't be taken for a shared secret; the algorithm is the
key's own where it names one. A token never gives the scope `admin`: that is the host's to give.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import jwt

from ensue.api.jwks import Jwk, Jwks
from ensue.config import DEFAULT_JWT_ALGORITHMS, JwtConfig
from ensue.errors import AuthenticationError, InvalidRequest
from ensue.rights import LIMITS, SCOPES, KeyRights
from ensue.store.api_key import ApiKey

MAX_TOKEN_LENGTH = 8192
GRANTED_SCOPES = frozenset(SCOPES) - {"admin"}
MAX_SUBJECT_LENGTH = 255
_REQUIRED = ["exp", "iss", "aud", "sub"]
_TIMES = ("exp", "nbf", "iat")

Claims = Mapping[str, Any]


class JwtKeys:
    """Makes a key of a token that an issuer has signed."""

    def __init__(self, config: JwtConfig, jwks: Jwks, *, now: Callable[[], float] = time.time) -> None:
        self._config = config
        self._jwks = jwks
        self._now = now

    async def authenticate(self, token: str) -> ApiKey:
        """
        Raises:
            AuthenticationError: not a token of the issuer for this audience, or not at this time.
            Overloaded: the issuer's keys can't be had.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise _refused()
        header = _header(token)
        jwk = await self._jwks.find(header["kid"])
        if jwk is None:
            raise _refused()
        return self._key(self._claims(token, header["alg"], jwk))

    def _claims(self, token: str, algorithm: str, jwk: Jwk) -> Claims:
        config = self._config
        chosen = str(jwk.get("alg") or algorithm)
        if chosen not in (config.jwt_algorithms or DEFAULT_JWT_ALGORITHMS):
            raise _refused()
        try:
            claims: Claims = jwt.decode(
                token,
                jwt.PyJWK(dict(jwk), algorithm=chosen),
                algorithms=[chosen],
                issuer=config.jwt_issuer,
                audience=config.jwt_audience,
                leeway=config.jwt_leeway_s,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise AuthenticationError("This token has expired.", code="key_expired") from None
        except jwt.PyJWTError:
            raise _refused() from None
        if not all(_is_time(claims[name]) for name in _TIMES if name in claims):
            raise _refused()
        return claims

    def _key(self, claims: Claims) -> ApiKey:
        """The same subject is the same key, whatever token it comes with."""
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isprintable():
            raise _refused()
        digest = hashlib.sha256(f"{claims['iss']}\0{subject}".encode()).hexdigest()
        try:
            rights = self._rights(claims)
        except InvalidRequest:
            raise _refused() from None
        return ApiKey(f"jwt_{digest[:24]}", subject[:128], "", "", rights, int(self._now()), is_outside=True)

    def _rights(self, claims: Claims) -> KeyRights:
        """What is not said is not given, but for models and limits: without a claim there are no bounds."""
        config = self._config
        scopes = _words(claims.get(config.jwt_scopes_claim, ""))
        models = _words(claims.get(config.jwt_models_claim, "*"))
        limits = claims.get(config.jwt_limits_claim, {})
        if not isinstance(limits, dict) or not set(limits) <= {*LIMITS, "priority"}:
            raise InvalidRequest("unknown limits")
        if not all(type(value) is int for value in limits.values()):
            raise InvalidRequest("limits that are no whole numbers")
        return KeyRights(scopes=GRANTED_SCOPES & set(scopes), models=models, **limits)


def _header(token: str) -> dict[str, str]:
    """The header's key id and algorithm, of which nothing is believed yet."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _refused() from None
    found = {name: header.get(name) for name in ("kid", "alg")}
    if not all(isinstance(value, str) for value in found.values()):
        raise _refused()
    return {name: str(value) for name, value in found.items()}


def _is_time(value: object) -> bool:
    """The library takes texts for numbers, too."""
    return type(value) in (int, float) and math.isfinite(cast(float, value))


def _words(value: object) -> tuple[str, ...]:
    """A claim with words between spaces, or a list of them."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidRequest("a claim that is no list of words")
    return tuple(words)


def _refused() -> AuthenticationError:
    return AuthenticationError("This token is not valid here.", code="invalid_api_key")
