# Verifies deliveries of Waxwing's profile `mage`. Python 3.8 or newer, standard library only.
import hashlib
import hmac
import time
from datetime import datetime

TOLERANCE_SECONDS = 300


def verify(body: bytes, headers, secret: str) -> bool:
    """Tells whether a delivery is genuine and recent.

    body: the bytes of the request, before any parser touched them
    headers: a mapping of header names to values
    secret: 64 lower-case hexadecimal characters
    """
    headers = {name.lower(): value for name, value in headers.items()}
    timestamp = headers.get("x-webhook-timestamp", "")
    signatures = [headers.get("x-webhook-signature", "")]

    try:
        signed_at = datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return False
    if abs(time.time() - signed_at) > TOLERANCE_SECONDS:
        return False

    key = secret.encode()
    if not key:
        raise ValueError("the secret is missing")
    signed = f"{timestamp}.".encode() + body
    mac = hmac.new(key, signed, hashlib.sha256).hexdigest()
    expected = f"sha256={mac}".encode()
    return any(hmac.compare_digest(signature.encode(), expected) for signature in signatures)
