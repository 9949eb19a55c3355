"""A thousand schedules of clients that push, pull, delete, take down and sweep at once, fail, die and come back."""

import pytest

from artifactstore.testing.schedule import MORE_MIXES, SHARED_MIXES, make_schedule
from artifactstore.testing.stage import FILES, TREES, Stage
from artifactstore.testing.story import shrink, tell

BLOCKS = 20
BLOCK_SCHEDULES = 50
BLOCK_SCHEDULES_DEEP = 500
CONTENT_BLOCKS = 4
CONTENT_BLOCK_SCHEDULES = 25
CONTENT_BLOCK_SCHEDULES_DEEP = 500
SHARED_BLOCKS = 2
SHARED_BLOCK_SCHEDULES = 25
SHARED_BLOCK_SCHEDULES_DEEP = 500


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_invariant_holds_after_every_schedule(block: int, stage: Stage, deep: bool) -> None:
    """Whatever the order, the faults and the deaths: the invariants hold, and each client was told the truth."""
    size = BLOCK_SCHEDULES_DEEP if deep else BLOCK_SCHEDULES
    for seed in range(block * size, (block + 1) * size):
        played = stage.play(make_schedule(seed, TREES))
        if played.broken:
            pytest.fail(tell(shrink(played.schedule, stage.play)))


@pytest.mark.parametrize("block", range(CONTENT_BLOCKS))
def test_what_is_taken_down_is_gone_and_stays_away(block: int, stage: Stage, deep: bool) -> None:
    """Likewise where files are taken down and allowed again, versions expire, and checks run, beside all else."""
    size = CONTENT_BLOCK_SCHEDULES_DEEP if deep else CONTENT_BLOCK_SCHEDULES
    for seed in range(block * size, (block + 1) * size):
        played = stage.play(make_schedule(seed, TREES, FILES, MORE_MIXES))
        if played.broken:
            pytest.fail(tell(shrink(played.schedule, stage.play)))


@pytest.mark.parametrize("block", range(SHARED_BLOCKS))
def test_parts_are_kept_until_they_are_a_version(block: int, stage: Stage, deep: bool) -> None:
    """Likewise where versions are pushed in parts, beside sweeps and takedowns that come between the parts."""
    size = SHARED_BLOCK_SCHEDULES_DEEP if deep else SHARED_BLOCK_SCHEDULES
    for seed in range(block * size, (block + 1) * size):
        played = stage.play(make_schedule(seed, TREES, FILES, SHARED_MIXES))
        if played.broken:
            pytest.fail(tell(shrink(played.schedule, stage.play)))
