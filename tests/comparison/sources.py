"""Files in memory, read by ranges, for tests of what looks into them."""

import json
import struct


class Bytes:
    """Bytes as a source; remembers what was read."""

    def __init__(self, data: bytes, name: str = "file") -> None:
        self.name = name
        self.size = len(data)
        self.data = data
        self.read = 0
        self.largest = 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size
        self.read += length
        self.largest = max(self.largest, length)
        return self.data[offset : offset + length]


def tensors_file(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file whose header is this text or JSON, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data
