"""Other people's tools, each in a virtual environment that a deep test makes for it; where one is kept, it is used."""

import os
import subprocess
import sys
from pathlib import Path

# A folder in which environments are kept between runs, and made when they are not there.
KEPT = "TOOLS_FOR_TESTS"


def tool_environment(folder: Path, *packages: str) -> Path:
    """The `bin` folder of a virtual environment with these packages."""
    home = Path(os.environ[KEPT]) if KEPT in os.environ else folder
    place = home / packages[0]
    if not (place / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin/pip"), "install", "-q", *packages], check=True, capture_output=True)
    return place / "bin"
