"""Keys are sent and never told."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from benchmarks.url.credentials import (
    REDACTED,
    parse_data,
    parse_header,
    redacted_url,
    refused_url,
    scrubbed,
    secrets_of,
)

__all__ = ()

KEY = "sk-1234567890"


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("Accept: text/event-stream", "text/event-stream", "text/event-stream"),
        ("X-Price: $$5", "$5", "$5"),
        (f"Authorization: Bearer {KEY}", f"Bearer {KEY}", REDACTED),
        ("Authorization: Bearer $KEY", f"Bearer {KEY}", "Bearer $KEY"),
        ("authorization:Bearer ${KEY}", f"Bearer {KEY}", "Bearer ${KEY}"),
        ("x-api-key: $KEY", KEY, "$KEY"),
        ("Cookie: session=1", "session=1", REDACTED),
        ("X-Anything: a-$KEY", f"a-{KEY}", REDACTED),
    ],
)
def test_header_is_sent_whole_and_shown_without_its_secret(text: str, value: str, shown: str) -> None:
    header = parse_header(text, {"KEY": KEY})
    assert (header.value, header.shown) == (value, shown)
    assert KEY not in repr(header)


@pytest.mark.parametrize("text", ["", "no colon", ": value", "Authorization: Bearer $NONE", "X: $ 5"])
def test_header_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="header"):
        parse_header(text, {})


def test_refusal_does_not_quote_a_value() -> None:
    with pytest.raises(ValueError, match="header X") as caught:
        parse_header(f"X: {KEY} $ 5", {})
    assert KEY not in str(caught.value)


def test_address_is_shown_without_its_key() -> None:
    assert redacted_url("http://a/b?x=1&api_key=s3cr3t#f") == f"http://a/b?x=1&api_key={REDACTED}#f"
    assert redacted_url("http://a/b?x=%20y") == "http://a/b?x=%20y"


@pytest.mark.parametrize(
    "url",
    ["htp://user:PW@host/x", "http://user:PW@[::1", "user:PW@host", "http://user:P/W@host:99999/", "http://u:P@W@h/"],
)
def test_refused_address_is_told_without_user_and_password(url: str) -> None:
    told = refused_url(url)
    assert REDACTED in told
    assert not any(part in told for part in ("user", "PW", "P/W", "P@W"))


@pytest.mark.parametrize(
    ("text", "sent", "shown", "secret"),
    [
        ('{"api_key": "$KEY"}', f'{{"api_key": "{KEY}"}}', '{"api_key": "$KEY"}', KEY),
        ('{"user": "${KEY}"}', f'{{"user": "{KEY}"}}', '{"user": "${KEY}"}', KEY),
        ('{"a": [{"Password": "hush hush"}]}', None, f'{{"a": [{{"Password": "{REDACTED}"}}]}}', "hush hush"),
        ('{"secret": {"x": 12345}}', None, f'{{"secret": {{"x": "{REDACTED}"}}}}', "12345"),
        ("user=a&password=hush&x=1", None, f"user=a&password={REDACTED}&x=1", "hush"),
        ('{"token": "hush", broken', None, f'{{"token": "{REDACTED}", broken', "hush"),
    ],
)
def test_body_is_sent_whole_and_shown_without_its_secrets(text: str, sent: str | None, shown: str, secret: str) -> None:
    data = parse_data(text, {"KEY": KEY})
    assert data.body.decode() == (sent or text)
    assert data.shown == shown
    assert secret in secrets_of("http://a/", (), data)
    assert secret not in repr(data)


@pytest.mark.parametrize("text", ['{"max_tokens": 5, "author": "x", "$ref": "$5 $$x$$"}', "plain"])
def test_body_without_secrets_is_sent_and_shown_as_it_is(text: str) -> None:
    data = parse_data(text, {})
    assert (data.body.decode(), data.shown, data.secrets) == (text, text, ())


def test_variable_in_a_body_is_escaped_as_its_json_needs_it_and_must_be_set() -> None:
    assert json.loads(parse_data('{"x": "$KEY"}', {"KEY": 'a"b\\c'}).body) == {"x": 'a"b\\c'}
    assert parse_data('{"x": "$$KEY"}', {}).body == b'{"x": "$KEY"}'
    with pytest.raises(ValueError, match="data: the environment variable KEY is not set"):
        parse_data('{"x": "$KEY"}', {})


@pytest.mark.parametrize(
    "quoted",
    [
        quote,
        quote_plus,
        lambda text: quote(text).lower(),
        lambda text: json.dumps(text),
        lambda text: json.dumps(json.dumps(text)),
        lambda text: text.replace("/", "\\/"),
        lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
        html.escape,
        lambda text: text[:9] + "...",
    ],
)
def test_secret_is_cut_out_in_whatever_way_it_is_quoted(quoted: Callable[[str], str]) -> None:
    secret = 'p&ss/w"rd +é='
    said = f"<{quoted(secret)}>"
    assert scrubbed(said, [secret]).strip("<>\"'\\").removesuffix("...") == REDACTED


def test_basic_credentials_are_secret_in_clear_too() -> None:
    header = parse_header(f"Authorization: Basic {b64encode(b'me:hush hush').decode()}", {})
    assert scrubbed("no: hush hush, me:hush hush", secrets_of("http://a/", [header])) == f"no: {REDACTED}, {REDACTED}"


def test_secrets_are_cut_out_of_what_a_server_quotes() -> None:
    headers = [parse_header("Authorization: Bearer $KEY", {"KEY": KEY}), parse_header("Accept: */*", {})]
    secrets = secrets_of("http://a/?token=t0ken", headers)
    assert scrubbed(f"bad key {KEY} or t0ken, not */*", secrets) == f"bad key {REDACTED} or {REDACTED}, not */*"
