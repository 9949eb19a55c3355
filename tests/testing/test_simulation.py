"""The simulated world: its time and randomness are its own, and its copies go separate ways."""

from pathlib import Path

from artifactstore.testing.simulation import SeededRandomness, SteppedClock, World


def test_time_moves_when_it_is_looked_at_or_waited_for() -> None:
    """Waiting takes no time of the machine, and no two readings are equal."""
    clock = SteppedClock(start_ns=0)
    first, second = clock.now_ns(), clock.now_ns()
    assert first < second
    clock.sleep(3600)
    assert clock.monotonic_s() >= 3600


def test_randomness_is_the_seeds() -> None:
    """The same seed gives the same bytes in the same order; another one gives others."""
    one, same, other = SeededRandomness(1), SeededRandomness(1), SeededRandomness(2)
    drawn = [one.token(16) for _ in range(4)]
    assert drawn == [same.token(16) for _ in range(4)]
    assert len({*drawn, other.token(16)}) == 5


def test_copies_go_separate_ways(tmp_path: Path) -> None:
    """What happens in a copy of a world is not seen in the original."""
    (tmp_path / "world").mkdir()
    (tmp_path / "file").write_bytes(b"data")
    world = World(tmp_path / "world")
    world.create().close()
    other = world.copy(tmp_path / "other")
    with other.client() as store:
        store.push([tmp_path / "file"], "project/data")
    with world.client() as store:
        assert store.projects() == []
    with other.client("new") as store:
        assert [project.name for project in store.projects()] == ["project"]
    world.end()
    other.end()
    assert list(other.objects.list("")) == []


def test_a_forgotten_cache_is_built_anew(tmp_path: Path) -> None:
    """A client without memory sees what the others see."""
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    world.create().close()
    assert (world.folder / "cache" / "index").exists()
    world.forget("cache")
    assert not (world.folder / "cache").exists()
    with world.client() as store:
        assert store.check(read_data=True).ok
    world.end()
