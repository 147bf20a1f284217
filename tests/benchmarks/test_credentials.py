"""Keys are sent and never told."""

from __future__ import annotations

import pytest

from benchmarks.url.credentials import REDACTED, parse_header, redacted_url, scrubbed, secrets_of

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


def test_secrets_are_cut_out_of_what_a_server_quotes() -> None:
    headers = [parse_header("Authorization: Bearer $KEY", {"KEY": KEY}), parse_header("Accept: */*", {})]
    secrets = secrets_of("http://a/?token=t0ken", headers)
    assert scrubbed(f"bad key {KEY} or t0ken, not */*", secrets) == f"bad key {REDACTED} or {REDACTED}, not */*"
