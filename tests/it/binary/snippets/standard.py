# Verifies deliveries of Waxwing's profile `standard`. Python 3.8 or newer, standard library only.
import base64
import hashlib
import hmac
import time

TOLERANCE_SECONDS = 300


def verify(body: bytes, headers, secret: str) -> bool:
    """Tells whether a delivery is genuine and recent.

    body: the bytes of the request, before any parser touched them
    headers: a mapping of header names to values
    secret: whsec_ followed by 24 to 64 bytes in base64
    """
    headers = {name.lower(): value for name, value in headers.items()}
    id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "").split(" ")

    try:
        signed_at = int(timestamp)
    except ValueError:
        return False
    if abs(time.time() - signed_at) > TOLERANCE_SECONDS:
        return False

    key = base64.b64decode(secret.replace("whsec_", "", 1), validate=True)
    if not key:
        raise ValueError("the secret is missing")
    signed = f"{id}.{timestamp}.".encode() + body
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    expected = f"v1,{mac}".encode()
    return any(hmac.compare_digest(signature.encode(), expected) for signature in signatures)
