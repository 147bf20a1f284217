"""What a request needs and a results file must never hold: keys in headers and addresses.

"Authorization: Bearer $KEY"   $NAME and ${NAME} are taken from the environment; $$ is a dollar
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Template
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

__all__ = ("REDACTED", "Header", "parse_header", "redacted_url", "scrubbed", "secrets_of")

REDACTED: Final = "[redacted]"

_SENSITIVE: Final = re.compile(r"auth|key|token|secret|cookie|passw|credential|signature|^sig$|session", re.IGNORECASE)
_SCHEMES: Final = {"", "bearer", "basic", "token"}
# A shorter text is in too many others to be cut out of them.
_SHORTEST_SECRET: Final = 4


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """One header of a request.

    Attributes:
        name: as it was given.
        value: as it is sent.
        shown: the value as it may be told: without what came from the environment, or what its name says is a secret.
        secret: whether `value` must not be told.
    """

    name: str
    value: str
    shown: str
    secret: bool

    def __repr__(self) -> str:
        return f"Header({self.name}: {self.shown})"


def parse_header(text: str, environment: Mapping[str, str]) -> Header:
    """Read "Name: value" with its variables.

    Raises:
        ValueError: it has another form, or a variable is not set. The message never holds the value.
    """
    name, colon, template = text.partition(":")
    name, template = name.strip(), template.strip()
    if not colon or not name:
        raise ValueError('a header must be given as "Name: value"')
    pattern = Template(template)
    if not pattern.is_valid():
        raise ValueError(f"header {name}: a $ must begin the name of an environment variable; write $$ for a dollar")
    names = pattern.get_identifiers()
    missing = [variable for variable in names if not environment.get(variable)]
    if missing:
        raise ValueError(f"header {name}: the environment variable {missing[0]} is not set")
    value = pattern.substitute(environment)
    secret = bool(names) or _SENSITIVE.search(name) is not None
    return Header(name, value, _shown(template, names) if secret else value, secret)


def _shown(template: str, names: Iterable[str]) -> str:
    """Return the template if there is no secret in it but what its variables stand for."""
    rest = template
    for name in names:
        rest = rest.replace(f"${{{name}}}", "").replace(f"${name}", "")
    return template if rest != template and rest.strip().lower() in _SCHEMES else REDACTED


def redacted_url(url: str) -> str:
    """Return an address without the values of such parameters as `api_key`."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if not any(_SENSITIVE.search(name) for name, _ in pairs):
        return url
    told = [(name, REDACTED if _SENSITIVE.search(name) else value) for name, value in pairs]
    return urlunsplit(parts._replace(query=urlencode(told, quote_via=quote, safe="[]")))


def secrets_of(url: str, headers: Iterable[Header]) -> tuple[str, ...]:
    """Return the texts that must not be told, longest first: values, and their last words ("Bearer" is no secret)."""
    values = [header.value for header in headers if header.secret]
    values += [value for name, value in parse_qsl(urlsplit(url).query) if _SENSITIVE.search(name)]
    words = {word for value in values for word in (value, value.rpartition(" ")[2])}
    return tuple(sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a text of the server's without secrets that it quotes."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text
