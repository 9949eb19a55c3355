"""Bytes to structs and back: the on-disk format of `docs/format/v1.md`, without any I/O."""
