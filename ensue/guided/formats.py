"""The values of JSON Schema's `format` as regexes in Rust's syntax, each matching nothing that the format forbids.

Where a format allows more than can be written down (dates of leap years are exact; the odd corners of RFC 3986 are
not), the regex is the narrower one. Formats that JSON Schema doesn't define are annotations, and absent here.
"""

from __future__ import annotations

_YEAR = r"(?:[1-9][0-9]{3})"
_LONG, _SHORT = r"(?:0[13578]|1[02])", r"(?:0[469]|11)"
_LEAP_YEAR = r"(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:{_LONG}-(?:0[1-9]|[12][0-9]|3[01])|{_SHORT}-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    rf"|{_LEAP_YEAR}-02-29)"
)
_TIME = r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"(?:{_BYTE}(?:\.{_BYTE}){{3}})"
_HEX = r"[0-9a-fA-F]{1,4}"
_IPV6 = (
    "(?:"
    + "|".join(
        [f"(?:{_HEX}:){{7}}{_HEX}"]
        + [f"{_HEX}(?::{_HEX}){{{left - 1}}}::(?:{_HEX}(?::{_HEX}){{0,{6 - left}}})?" for left in range(1, 7)]
        + [f"{_HEX}(?::{_HEX}){{6}}::", f"::(?:{_HEX}(?::{_HEX}){{0,6}})?"]
    )
    + ")"
)
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST = rf"(?:[a-zA-Z](?:[a-zA-Z0-9]{{0,61}}[a-zA-Z0-9])?(?:\.{_LABEL.replace('0,61', '0,30')}){{0,3}})"
_EMAIL = rf"(?:[a-zA-Z0-9_%+-]{{1,32}}(?:\.[a-zA-Z0-9_%+-]{{1,30}})?@{_HOST})"
_CHARACTER = r"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})"
_PATH = rf"(?:/{_CHARACTER}*)*"
_QUERY = r"(?:[a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*"
_WEB = rf"(?:https?|ftp|file|wss?)://{_HOST}(?::[1-9][0-9]{{0,3}})?{_PATH}"
_URN = rf"urn:[a-z0-9][a-z0-9-]{{1,30}}:{_CHARACTER}+{_PATH}"
_URI = rf"(?:(?:{_WEB}|{_URN})(?:\?{_QUERY})?(?:#{_QUERY})?)"
_REFERENCE = rf"(?:{_URI}|(?:\.{{0,2}}(?:/{_CHARACTER}+)+|[a-zA-Z0-9_-]+{_PATH})?(?:\?{_QUERY})?(?:#{_QUERY})?)"
_POINTER = r"(?:/(?:[^/~\x{0}-\x{1f}\x{7f}]|~[01])*)*"
_CLOCK = r"(?:[0-9]{1,4}H(?:[0-9]{1,4}M)?(?:[0-9]{1,4}S)?|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S)"
_DAYS = r"(?:[0-9]{1,4}Y(?:[0-9]{1,4}M(?:[0-9]{1,4}D)?)?|[0-9]{1,4}M(?:[0-9]{1,4}D)?|[0-9]{1,4}D)"
_DURATION = rf"P(?:{_DAYS}(?:T{_CLOCK})?|T{_CLOCK}|[0-9]{{1,4}}W)"

_REGEXES = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOST,
    "idn-hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _URI,
    "uri-reference": _REFERENCE,
    "iri": _URI,
    "iri-reference": _REFERENCE,
    "uri-template": _URI,
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9]{{1,4}})(?:#|{_POINTER})",
    "regex": r"[a-zA-Z0-9_ -]*",
}

_LETTERS = "[A-Za-z ]*"
# Texts that no reader takes for the format; of other formats nothing is certain.
DENIED = {
    **dict.fromkeys(("date", "time", "date-time", "ipv4"), f"^{_LETTERS}$"),
    **dict.fromkeys(("email", "idn-email"), "^[^@]*$"),
    **dict.fromkeys(("uri", "iri", "ipv6"), "^[^:]*$"),
    "uuid": "^[^-]*$",
}

PATTERNS = {name: f"^(?:{regex})$" for name, regex in _REGEXES.items()}
