"""JSON that carries the digest of itself, so that what is damaged or torn is noticed."""

import json
from hashlib import blake2b
from typing import Any


def digest(data: bytes) -> str:
    """32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


def sealed(content: dict[str, Any]) -> bytes:
    """As JSON with the digest of itself; floats come back to the last bit, NaN and inf too."""
    return json.dumps({**content, "digest": digest(json.dumps(content).encode())}).encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """The inverse of :func:`sealed`.

    Raises:
        ValueError: it is anything else.
    """
    content = json.loads(data)
    if not isinstance(content, dict) or content.pop("digest", None) is None:
        raise ValueError("it has no digest")
    if sealed(content) != data:
        raise ValueError("it is not what was written")
    return content
