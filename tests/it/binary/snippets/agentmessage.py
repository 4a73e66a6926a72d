# Verifies deliveries of Waxwing's profile `agentmessage`. Python 3.8 or newer, standard library only.
import base64
import hashlib
import hmac
import time

TOLERANCE_SECONDS = 300


def verify(body: bytes, headers, secret: str) -> bool:
    """Tells whether a delivery is genuine and recent.

    body: the bytes of the request, before any parser touched them
    headers: a mapping of header names to values
    secret: 32 bytes in base64: 44 characters
    """
    headers = {name.lower(): value for name, value in headers.items()}
    signatures = headers.get("x-amcore-signature", "").split(",")
    timestamp = next((part[2:] for part in signatures if part.startswith("t=")), "")

    try:
        signed_at = int(timestamp)
    except ValueError:
        return False
    if abs(time.time() - signed_at) > TOLERANCE_SECONDS:
        return False

    key = base64.b64decode(secret, validate=True)
    if not key:
        raise ValueError("the secret is missing")
    signed = f"{timestamp}\n".encode() + body
    mac = hmac.new(key, signed, hashlib.sha256).hexdigest()
    expected = f"v1={mac}".encode()
    return any(hmac.compare_digest(signature.encode(), expected) for signature in signatures)
