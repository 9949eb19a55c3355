"""Where objects lie: one contract, and a folder, memory and fsspec that keep it.

The adapter for fsspec is `artifactstore.backend.remote`, loaded only for a URL that needs it.
"""

from artifactstore.backend.base import Backend, Buffer, ByteRange, ObjectInfo, check_object_name
from artifactstore.backend.local import LocalBackend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.opening import open_backend
from artifactstore.backend.probe import PROBE_PREFIX, probe
from artifactstore.backend.wrapping import ThrottledBackend, WrapperBackend

__all__ = [
    "PROBE_PREFIX",
    "Backend",
    "Buffer",
    "ByteRange",
    "LocalBackend",
    "MemoryBackend",
    "ObjectInfo",
    "ThrottledBackend",
    "WrapperBackend",
    "check_object_name",
    "open_backend",
    "probe",
]
