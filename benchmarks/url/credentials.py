"""What a request needs and a results file must never hold: keys in headers, addresses and bodies.

"Authorization: Bearer $KEY"   $NAME and ${NAME} are taken from the environment; $$ is a dollar
{"api_key": "$KEY"}            the same in a body, for names in capitals: "$ref" is no variable there; $$NAME is $NAME
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import Template
from typing import Final, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

__all__ = (
    "REDACTED",
    "Data",
    "Header",
    "parse_data",
    "parse_header",
    "redacted_url",
    "refused_url",
    "scrubbed",
    "secrets_of",
)

REDACTED: Final = "[redacted]"

# "max_tokens" and "author" are no secrets, and are in many requests.
_NAMES: Final = (
    r"auth(?!or(?!iz))|key(?!word|board)|token(?!s|iz|_ids?)|secret|cookie|passw|passphrase|credential|signature|"
    r"\bsig\b|session|bearer"
)
_SENSITIVE: Final = re.compile(_NAMES, re.IGNORECASE)
_SCHEMES: Final = {"", "bearer", "basic", "token"}
# A shorter text is in too many others to be cut out of them.
_SHORTEST_SECRET: Final = 4
# So much of a secret is cut out also where the rest does not follow: words are shortened where they are too long.
_TELLING: Final = 8


# --- Headers -------------------------------------------------------------------------------------------------------


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


# --- Bodies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Data:
    """What is posted.

    Attributes:
        body: as it is sent.
        shown: as it may be told: variables by their names, and no value whose name says that it is a secret.
        secrets: what must not be told.
    """

    body: bytes
    shown: str
    secrets: tuple[str, ...] = ()


_VARIABLE: Final = re.compile(r"\$(\$)?(?:([A-Z][A-Z0-9_]*)\b|\{([A-Z][A-Z0-9_]*)\})")
_ONLY_VARIABLE: Final = re.compile(r"\$(?:[A-Z][A-Z0-9_]*|\{[A-Z][A-Z0-9_]*\})")
# What looks like a name and its value where there is no JSON: a form, or JSON that is broken.
_NAMED_VALUE: Final = re.compile(rf"([\w.-]*(?:{_NAMES})[\w.-]*[\"']?\s*[=:]\s*[\"']?)([^\s&\"',;}}]+)", re.IGNORECASE)


def parse_data(text: str, environment: Mapping[str, str] | None) -> Data:
    """Read a body with its variables.

    Args:
        text: as it was given.
        environment: where variables come from; None: there are none in it, whatever it holds.

    Raises:
        ValueError: a variable is not set. The message holds nothing else of the body.
    """
    is_json = _decoded(text) is not None
    values: list[str] = []

    def value_of(match: re.Match[str]) -> str:
        escaped, *names = match.groups()
        name = next(filter(None, names))
        if escaped:
            return match[0][1:]
        if not (value := (environment or {}).get(name)):
            raise ValueError(f"data: the environment variable {name} is not set; write $${name} for the text itself")
        values.append(value)
        return json.dumps(value)[1:-1] if is_json else value

    sent = text if environment is None else _VARIABLE.sub(value_of, text)
    found = [value for value in _secrets_in(text) if not _ONLY_VARIABLE.fullmatch(value)]
    return Data(sent.encode(), _redacted(text), (*values, *found))


def _decoded(text: str) -> object:
    """Return an object or array of JSON; None: it is neither."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None  # pyright: ignore[reportUnknownVariableType]


def _secrets_in(text: str) -> Iterator[str]:
    value = _decoded(text)
    if value is None:
        yield from (match[2] for match in _NAMED_VALUE.finditer(text))
    else:
        yield from (str(each) for each in _leaves(value, secret=False))


def _leaves(value: object, *, secret: bool) -> Iterator[object]:
    """Give what stands under a name that says that it is a secret."""
    if isinstance(value, dict):
        for name, each in cast("dict[str, object]", value).items():
            yield from _leaves(each, secret=secret or _SENSITIVE.search(name) is not None)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _leaves(each, secret=secret)
    elif secret and value is not None and not isinstance(value, bool):
        yield value


def _redacted(text: str) -> str:
    value = _decoded(text)
    if value is None:
        return _NAMED_VALUE.sub(lambda match: match[1] + _told(match[2]), text)
    if next(_leaves(value, secret=False), None) is None:
        return text
    return json.dumps(_without_leaves(value, secret=False), ensure_ascii=False)


def _without_leaves(value: object, *, secret: bool) -> object:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return {
            name: _without_leaves(each, secret=secret or _SENSITIVE.search(name) is not None) for name, each in pairs
        }
    if isinstance(value, list):
        return [_without_leaves(each, secret=secret) for each in cast("list[object]", value)]
    return _told(value) if secret and value is not None and not isinstance(value, bool) else value


def _told(value: object) -> str:
    return value if isinstance(value, str) and _ONLY_VARIABLE.fullmatch(value) else REDACTED


# --- Addresses -----------------------------------------------------------------------------------------------------


def redacted_url(url: str) -> str:
    """Return an address, also a broken one, without the values of such parameters as `api_key`."""
    head, mark, behind = url.partition("?")
    query, hash_mark, fragment = behind.partition("#")
    pairs = parse_qsl(query, keep_blank_values=True)
    if not any(_SENSITIVE.search(name) for name, _ in pairs):
        return url
    told = [(name, REDACTED if _SENSITIVE.search(name) else value) for name, value in pairs]
    return f"{head}{mark}{urlencode(told, quote_via=quote, safe='[]')}{hash_mark}{fragment}"


def refused_url(url: str) -> str:
    """Return an address that is refused, whatever it is, also without what may be a user and a password."""
    before, at, rest = url.rpartition("@")
    scheme = "".join(before.partition("//")[:2]) if "//" in before else ""
    return redacted_url(f"{scheme}{REDACTED}@{rest}" if at else url)


# --- What a server quotes ------------------------------------------------------------------------------------------


def secrets_of(url: str, headers: Iterable[Header], data: Data | None = None) -> tuple[str, ...]:
    """Return the texts that must not be told, longest first: values, and their last words ("Bearer" is no secret)."""
    values = [header.value for header in headers if header.secret]
    values += [value for name, value in parse_qsl(urlsplit(url).query) if _SENSITIVE.search(name)]
    values += data.secrets if data is not None else ()
    words = {word for value in values for word in (value, value.rpartition(" ")[2], *_user_and_password(value))}
    return tuple(sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True))


def _user_and_password(value: str) -> tuple[str, ...]:
    """Return what "Basic dXNlcjpwdw==" stands for, whole and the password alone."""
    scheme, _, coded = value.partition(" ")
    if scheme.lower() != "basic":
        return ()
    try:
        both = b64decode(coded, validate=True).decode()
    except ValueError:
        return ()
    return both, both.partition(":")[2]


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a text of the server's without secrets that it quotes.

    They are found as they are, percent-encoded, as JSON or HTML escapes them, or in any mixture; and by their
    beginning, where words that were too long have been cut.
    """
    for secret in secrets:
        text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    begins, rest = _patterns(secret)
    kept: list[str] = []
    at = 0
    while match := begins.search(text, at):
        end = match.end()
        for each in rest:
            if not (more := each.match(text, end)):
                break
            end = more.end()
        kept += [text[at : match.start()], REDACTED]
        at = end
    return "".join([*kept, text[at:]])


@lru_cache(maxsize=64)
def _patterns(secret: str) -> tuple[re.Pattern[str], tuple[re.Pattern[str], ...]]:
    """Return what the beginning of a secret looks like, and each character behind it."""
    each = [_character(character) for character in secret]
    return re.compile("".join(each[:_TELLING])), tuple(re.compile(pattern) for pattern in each[_TELLING:])


def _character(character: str) -> str:
    """Return a pattern for all that one character of a secret may have become."""
    forms = [re.escape(character), "".join(rf"%(?i:{byte:02x})" for byte in character.encode(errors="surrogatepass"))]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    forms.append("".join(rf"\\+u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4)))
    forms.append(rf"&#(?i:0*{ord(character)}|x0*{ord(character):x});")
    escaped = html.escape(character)
    if escaped != character:
        forms.append(re.escape(escaped))
    if character in "\\/\"'":
        forms.append(r"\\+" + re.escape(character))
    if character == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"
