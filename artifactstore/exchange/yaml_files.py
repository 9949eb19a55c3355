"""Reading the YAML that other tools write, with PyYAML where it is installed: extra `[import]`."""

from pathlib import Path
from typing import Any, Final

from artifactstore.errors import MissingExtra
from artifactstore.exchange.incoming import broken

_BYTES_MAX: Final = 64 << 20


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose root is a mapping.

    Raises:
        MissingExtra: PyYAML is not installed.
        BrokenSource: There is no such file, or it is something else.
    """
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra(
            f"reading {path.name} needs PyYAML", next_step="pip install 'artifactstore[import]'"
        ) from error
    try:
        with path.open("rb") as stream:
            data = stream.read(_BYTES_MAX + 1)
    except OSError as error:
        raise broken(str(path), f"it can't be read: {error.strerror}") from error
    if len(data) > _BYTES_MAX:
        raise broken(str(path), f"it has more than {_BYTES_MAX} bytes")
    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise broken(str(path), f"it is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise broken(str(path), "it holds no mapping")
    return found
