"""Codecs: how the raw bytes of a blob become fewer bytes, and exactly those raw bytes again."""

from artifactstore.compression.codec import RAW, ZSTD, CodecError, compress, decompress

__all__ = ["RAW", "ZSTD", "CodecError", "compress", "decompress"]
