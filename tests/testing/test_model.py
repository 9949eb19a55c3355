"""The reference model itself: the few rules that everything else is held against."""

import pytest

from artifactstore.ids import LATEST
from artifactstore.testing.model import ModelStore, ShownVersion


@pytest.fixture
def model() -> ModelStore:
    made = ModelStore()
    made.push("p/n", {"a": b"1"}, aliases=["x"], tags=["t"])
    return made


def test_equal_content_makes_no_version(model: ModelStore) -> None:
    """Only the newest version counts: content that comes back later is a new one."""
    assert model.push("p/n", {"a": b"1"}, tags=["u"]) == (0, False)
    assert model.push("p/n", {"a": b"2"}) == (1, True)
    assert model.push("p/n", {"a": b"1"}) == (2, True)
    assert model.push("p/other", {"a": b"1"}) == (0, True)
    assert [version.tags for version in model.artifacts["p/n"].versions] == [{"t", "u"}, set(), set()]


def test_aliases_point_at_one_version(model: ModelStore) -> None:
    """An alias moves, `latest` follows the newest version, and what is removed is gone."""
    model.push("p/n", {}, aliases=["y"])
    model.add_aliases("p/n", 1, ["x"])
    assert model.artifacts["p/n"].aliases == {LATEST: 1, "x": 1, "y": 1}
    model.remove_aliases("p/n", ["x"])
    assert model.artifacts["p/n"].aliases == {LATEST: 1, "y": 1}


def test_tags_are_sets(model: ModelStore) -> None:
    """Labels are put on and taken off, those that are not there included."""
    model.add_tags("p/n", 0, ["u", "t"])
    model.remove_tags("p/n", 0, ["t", "v"])
    assert model.shown() == {"p/n": [ShownVersion(0, {"a": b"1"}, [LATEST, "x"], ["u"], {}, is_link=False)]}


def test_a_copy_goes_its_own_way(model: ModelStore) -> None:
    """Nothing done to a copy shows in the original."""
    before = model.shown()
    other = model.copy()
    other.push("p/n", {})
    other.add_tags("p/n", 0, ["more"])
    other.remove_aliases("p/n", ["x"])
    assert model.shown() == before != other.shown()


def test_taking_down(model: ModelStore) -> None:
    """A successor stands where the other stood; a version without anything else goes; the content is refused."""
    model.push("p/n", {"a": b"1", "b": b"2"}, aliases=["y"])
    model.push("p/n", {"c": b"3"})
    model.takedown(b"1", rewrite=True)
    assert model.shown() == {
        "p/n": [
            ShownVersion(2, {"c": b"3"}, [LATEST], [], {}, is_link=False),
            ShownVersion(3, {"b": b"2"}, ["y"], [], {}, is_link=False),
        ]
    }
    assert model.refuses({"x": b"1"})
    assert not model.refuses({"x": b"2"})
    model.delete("p/n", 2)
    assert model.artifacts["p/n"].newest() == 3
    model.takedown(b"2", rewrite=False)
    assert model.shown() == {}


def test_parts_make_one_version(model: ModelStore) -> None:
    """All of them or none; what was taken down is to be made again, and a copy of the model has its own."""
    model.begin("token", "p/n", 2, ["whole"])
    assert model.finish("token", 0, {"a": b"1"})
    assert not model.finish("token", 0, {"a": b"1"})
    assert model.finish("token", 1, {"b": b"2"})
    other = model.copy()
    model.takedown(b"2", rewrite=False)
    assert (model.pushes["token"].missing, other.pushes["token"].missing) == ([1], [])
    assert not other.pushes["token"].collides
    assert other.commit("token") == 1
    assert other.artifacts["p/n"].aliases["whole"] == 1
    assert (model.open_pushes(), other.open_pushes()) == ({"token"}, set())
