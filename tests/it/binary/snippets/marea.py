# Verifies deliveries of Waxwing's profile `marea`. Python 3.8 or newer, standard library only.
import hashlib
import hmac
import time

TOLERANCE_SECONDS = 300


def verify(body: bytes, headers, secret: str) -> bool:
    """Tells whether a delivery is genuine and recent.

    body: the bytes of the request, before any parser touched them
    headers: a mapping of header names to values
    secret: 64 lower-case hexadecimal characters
    """
    headers = {name.lower(): value for name, value in headers.items()}
    signatures = headers.get("x-marea-signature", "").split(",")
    timestamp = next((part[2:] for part in signatures if part.startswith("t=")), "")

    try:
        signed_at = int(timestamp)
    except ValueError:
        return False
    if abs(time.time() - signed_at) > TOLERANCE_SECONDS:
        return False

    key = bytes.fromhex(secret)
    if not key:
        raise ValueError("the secret is missing")
    signed = f"{timestamp}.".encode() + body
    mac = hmac.new(key, signed, hashlib.sha256).hexdigest()
    expected = f"v1={mac}".encode()
    return any(hmac.compare_digest(signature.encode(), expected) for signature in signatures)
