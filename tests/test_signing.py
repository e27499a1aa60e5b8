"""Signatures as Standard Webhooks wants them, checked by a known answer and by the official library."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from tracker.webhooks import decode_secret, new_secret, sign

KNOWN_SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KNOWN_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
KNOWN_BODY = b'{"test": 2432232314}'
KNOWN_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [KNOWN_SECRET, f"whsec_{KNOWN_SECRET}"])
def test_the_known_answer(secret: str) -> None:
    assert sign([secret], KNOWN_ID, 1614265330, KNOWN_BODY) == KNOWN_SIGNATURE


def test_a_body_beyond_ascii_is_signed_as_its_bytes() -> None:
    body = json.dumps({"text": "猪 🐖"}, ensure_ascii=False).encode()
    secret = new_secret()
    now = int(time.time())

    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign([secret], "msg_1", now, body),
    }

    assert Webhook(secret).verify(body, headers) == {"text": "猪 🐖"}


def test_two_secrets_make_two_signatures_and_either_verifies() -> None:
    old, new = new_secret(), new_secret()
    now = int(time.time())

    signature = sign([new, old], "msg_1", now, b"{}")

    assert [part.partition(",")[0] for part in signature.split(" ")] == ["v1", "v1"]
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}
    assert Webhook(old).verify(b"{}", headers) == Webhook(new).verify(b"{}", headers) == {}


@given(key=st.binary(min_size=24, max_size=64), body=st.binary(max_size=100), timestamp=st.integers(0, 2**33))
def test_any_key_and_body_signs_as_in_any_other_spelling_of_the_key(key: bytes, body: bytes, timestamp: int) -> None:
    padded = base64.b64encode(key).decode()

    signatures = {sign([form], "msg_1", timestamp, body) for form in (padded, padded.rstrip("="), f"whsec_{padded}")}

    assert len(signatures) == 1
    assert decode_secret(padded) == key


def test_new_secrets_have_32_bytes_and_differ() -> None:
    secrets = {new_secret() for _ in range(100)}

    assert len(secrets) == 100
    assert all(secret.startswith("whsec_") and len(decode_secret(secret)) == 32 for secret in secrets)


@pytest.mark.parametrize("size", [24, 25, 32, 63, 64])
@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_a_key_of_24_to_64_bytes_is_taken_with_and_without_padding(prefix: str, size: int) -> None:
    padded = base64.b64encode(b"k" * size).decode()

    assert decode_secret(prefix + padded) == decode_secret(prefix + padded.rstrip("=")) == b"k" * size


@pytest.mark.parametrize("size", [0, 1, 23, 65, 100])
def test_a_key_of_the_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        decode_secret("whsec_" + base64.b64encode(b"k" * size).decode())


@pytest.mark.parametrize("secret", ["whsec_not base64, surely not base64", "whsec_ümlaut" + "a" * 40, "A" * 33])
def test_a_secret_that_is_no_base64_is_refused_without_being_named(secret: str) -> None:
    with pytest.raises(ValueError, match="base64") as refused:
        decode_secret(secret)

    assert secret not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("message_id", ["", "msg.1", "."])
def test_an_id_with_a_dot_or_without_a_letter_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="id"):
        sign([KNOWN_SECRET], message_id, 1, b"")


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(ValueError, match="no secret"):
        sign([], "msg_1", 1, b"")
