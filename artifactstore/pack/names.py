"""Where a pack lies on the backend: its name is the SHA-256 of its bytes."""


def pack_name(sha256: bytes) -> str:
    """The object name of a pack."""
    text = sha256.hex()
    return f"packs/{text[:2]}/{text}"
