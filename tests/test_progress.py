"""Progress that nobody watches keeps the interface and does nothing."""

import pytest

from artifactstore.progress import Progress, Quiet


def test_quiet_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Every call is taken in silence."""
    progress: Progress = Quiet()
    progress.start("pushing", bytes_total=10, files_total=1)
    progress.total(bytes_total=20)
    progress.advance(bytes=10, files=1, new_bytes=5)
    progress.notice("something")
    progress.finish()
    progress.finish()
    assert capsys.readouterr() == ("", "")
