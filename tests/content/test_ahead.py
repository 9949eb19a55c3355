"""What a pull asks for ahead: pages and lists in whole packs, beside other requests, and nothing hangs on it."""

from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.content.ahead import Ahead
from artifactstore.content.get import ChunkReader
from artifactstore.content.locate import Locator
from artifactstore.manifest.read import entries, spans
from artifactstore.pack.names import pack_name
from artifactstore.testing import MeteredBackend
from tests.stores import make_store, noise, write_tree

LARGE = noise(9 << 20, 1)


@pytest.fixture
def store(tmp_path: Path):
    """One version, of which a file has a chunk list."""
    with make_store(tmp_path) as made:
        made.push([write_tree(tmp_path / "in", {"large": LARGE, "small": b"x"})], "p/n")
        yield made


class Client:
    """What reads a version, through a meter, without anything in its caches."""

    def __init__(self, store: Store) -> None:
        parts = store._parts
        self.meter = MeteredBackend(parts.backend)
        shared = parts.environment, parts.packs, parts.keyring
        self.locator = Locator(self.meter, *shared, [])
        self.reader = ChunkReader(self.meter, *shared, self.locator)
        self.row = store.version("p/n")._row

    def ahead(self) -> Ahead:
        return Ahead(self.meter, self.locator, self.reader, self.row.packs, ())

    def walk(self) -> int:
        """Requests that it takes to read all pages and lists."""
        self.meter.reset()
        found = {
            entry.path: sum(span.length for span in spans(self.reader, entry.content))
            for entry in entries(self.reader, self.row.manifest)
        }
        assert found == {"large": len(LARGE), "small": 1}
        return sum(self.meter.requests.values())


def test_pages_and_lists_come_in_one_round_trip(store: Store) -> None:
    """And are asked for no more; data is not among them."""
    client = Client(store)
    ahead = client.ahead()
    assert len(ahead.requests) == 2
    client.meter.together(ahead.requests)
    ahead.take()
    assert client.meter.round_trips == 1
    assert client.meter.transferred_bytes["get_range"] < len(LARGE) // 10
    assert client.walk() == 0
    assert client.ahead().requests == []


def test_what_does_not_come_is_read_where_it_is_needed(store: Store) -> None:
    """Requests that nobody made, and those of which the answer is damaged, cost what they would without."""
    alone = Client(store).walk()
    assert alone > 1
    for made in (0, 1):
        client = Client(store)
        ahead = client.ahead()
        client.meter.together(ahead.requests[:made])
        ahead.take()
        assert (client.walk() == alone) == (made == 0)


def test_a_damaged_pack_is_passed_over(store: Store) -> None:
    """Nothing of it is kept, and what is wrong is said by who reads it."""
    client = Client(store)
    backend = store._parts.backend
    ahead = client.ahead()
    name = pack_name(ahead._whole[0].added.name)
    whole = backend.get(name, limit_bytes=1 << 20)
    backend.put(name, whole[:-1] + bytes([whole[-1] ^ 1]))
    client.meter.together(ahead.requests)
    ahead.take()
    backend.put(name, whole)
    assert client.walk() > 0


def test_what_is_large_is_not_fetched_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs beyond the bound are left to be read page by page."""
    monkeypatch.setattr("artifactstore.content.get._WHOLE_BYTES_MAX", 2000)
    client = Client(store)
    assert len(client.ahead().requests) == 1
