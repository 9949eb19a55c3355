"""A thousand schedules of clients that push, pull, delete and undelete at once, fail, die and come back."""

import pytest

from artifactstore.testing.schedule import make_schedule
from artifactstore.testing.stage import TREES, Stage
from artifactstore.testing.story import shrink, tell

BLOCKS = 20
BLOCK_SCHEDULES = 50
BLOCK_SCHEDULES_DEEP = 500


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_invariant_holds_after_every_schedule(block: int, stage: Stage, deep: bool) -> None:
    """Whatever the order, the faults and the deaths: the invariants hold, and each client was told the truth."""
    size = BLOCK_SCHEDULES_DEEP if deep else BLOCK_SCHEDULES
    for seed in range(block * size, (block + 1) * size):
        played = stage.play(make_schedule(seed, TREES))
        if played.broken:
            pytest.fail(tell(shrink(played.schedule, stage.play)))
