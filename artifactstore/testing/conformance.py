"""The tests that every backend passes, as a class to inherit from in a pytest module.

A subclass says how to make a backend::

    class TestMine(BackendConformance):
        def make_backend(self) -> Backend:
            return MyBackend(...)

Each test makes one, so `make_backend` returns an empty place every time, or names that never recur.
"""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from artifactstore.backend.base import Backend, ByteRange
from artifactstore.clock import SystemRandomness
from artifactstore.errors import (
    ArtifactStoreError,
    InvalidName,
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    TruncatedRead,
)

RACERS = 20
RACE_KEYS = 30
LIMIT_BYTES = 1 << 20
ANY_PACK = f"packs/ab/{'ab' * 32}"

GOOD_NAMES = ("log/0000000000000000", ANY_PACK, "keys/00ff", "tree/0/12", "runs/x/1", "a", "a.b-c_d")
BAD_NAMES = (
    *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.hidden"),
    *(
        "tmp",
        "tmp/a",
        "a\\b",
        "a b",
        "a\n",
        "a\0",
        "ä",
        "%2e",
        "~",
        "a:b",
        "a*",
        "x" * 201,
        "/".join("a" * 9),
    ),
)


def race_create(backend: Backend, name: str, offers: list[bytes]) -> list[bytes]:
    """Let one thread per offer create the same name, and return the offers that were accepted."""

    def attempt(offer: bytes) -> bool:
        try:
            backend.create(name, offer)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(len(offers)) as threads:
        accepted = list(threads.map(attempt, offers))
    return [offer for offer, won in zip(offers, accepted, strict=True) if won]


class BackendConformance(ABC):
    """What `artifactstore.backend.base` promises, tested.

    Attributes:
        race_keys: How many names twenty threads race for; servers that stall losers are raced for fewer.
    """

    race_keys = RACE_KEYS

    @abstractmethod
    def make_backend(self) -> Backend:
        """Return a backend without objects."""

    @pytest.fixture
    def backend(self) -> Backend:
        """A fresh backend, closed by its test's end where that matters to the subclass."""
        return self.make_backend()

    # --- whole objects ---

    @pytest.mark.parametrize("name", GOOD_NAMES)
    def test_what_is_created_is_read_back(self, backend: Backend, name: str) -> None:
        """A created object is read back whole, and its size is its length."""
        backend.create(name, b"content")
        assert backend.get(name, limit_bytes=7) == b"content"
        assert backend.size(name) == len(b"content")
        assert backend.exists(name)

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: memoryview(data)[1:][:-1]])
    @pytest.mark.parametrize("method", ["create", "put"])
    def test_every_kind_of_buffer_is_taken(
        self, backend: Backend, wrap: Callable[[bytes], bytes], method: str
    ) -> None:
        """Bytes, bytearrays and memoryviews are stored alike, slices of them too."""
        data = wrap(b"\0one\xfftwo\0")
        getattr(backend, method)("a", data)
        assert backend.get("a", limit_bytes=LIMIT_BYTES) == bytes(data)

    @pytest.mark.parametrize("method", ["create", "put"])
    def test_a_buffer_may_change_afterwards(self, backend: Backend, method: str) -> None:
        """What the caller does with its buffer after the call changes no object."""
        data = bytearray(b"before")
        getattr(backend, method)("a", data)
        data[:] = b"after!"
        assert backend.get("a", limit_bytes=LIMIT_BYTES) == b"before"

    @pytest.mark.parametrize("method", ["create", "put"])
    def test_an_empty_object_is_an_object(self, backend: Backend, method: str) -> None:
        """No bytes are content too."""
        getattr(backend, method)("a", b"")
        assert backend.exists("a")
        assert backend.size("a") == 0
        assert backend.get("a", limit_bytes=0) == b""
        assert [info.name for info in backend.list("")] == ["a"]

    def test_a_pack_sized_object_survives(self, backend: Backend) -> None:
        """An object of several MiB comes back byte for byte, whole and in ranges."""
        data = hashlib.shake_256(b"pack").digest(5 << 20)
        backend.create(ANY_PACK, memoryview(data))
        assert backend.get(ANY_PACK, limit_bytes=len(data)) == data
        assert backend.get_range(ANY_PACK, 3 << 20, 1 << 20) == data[3 << 20 : 4 << 20]

    def test_create_refuses_a_name_that_is_taken(self, backend: Backend) -> None:
        """A second create is refused and changes nothing, however made the first was."""
        backend.create("a", b"first")
        backend.put("b", b"first")
        for name in ("a", "b"):
            for offer in (b"second", b"", b"first"):
                with pytest.raises(ObjectExists):
                    backend.create(name, offer)
                assert backend.get(name, limit_bytes=LIMIT_BYTES) == b"first"

    def test_put_replaces(self, backend: Backend) -> None:
        """Put makes an object or replaces it, with a longer or a shorter one."""
        for data in (b"one", b"longer than one", b"", b"short"):
            backend.put("tree/0/0", data)
            assert backend.get("tree/0/0", limit_bytes=LIMIT_BYTES) == data

    # --- what is not there, too long or too short ---

    def test_missing_objects_are_missing(self, backend: Backend) -> None:
        """Reading a name without an object is `ObjectMissing`, under a folder that exists or not."""
        backend.create("packs/aa/x", b"data")
        for name in ("nothing", "packs/nothing", "packs/aa/nothing", "no/such/folder", "packs", "packs/aa"):
            assert not backend.exists(name)
            for read in (
                lambda name=name: backend.get(name, limit_bytes=LIMIT_BYTES),
                lambda name=name: backend.get_range(name, 0, 1),
                lambda name=name: backend.get_range(name, 0, 0),
                lambda name=name: backend.size(name),
            ):
                with pytest.raises(ObjectMissing) as caught:
                    read()
                assert caught.value.facts["object"] == name

    def test_the_limit_is_exact(self, backend: Backend) -> None:
        """An object of the limit's length is returned, and one byte more is refused."""
        backend.create("a", b"12345")
        assert backend.get("a", limit_bytes=5) == b"12345"
        for limit_bytes in (0, 4):
            with pytest.raises(ObjectTooLarge):
                backend.get("a", limit_bytes=limit_bytes)

    def test_ranges_are_exact(self, backend: Backend) -> None:
        """Every range inside an object is returned exactly."""
        data = bytes(range(10))
        backend.create("a", data)
        for start in range(11):
            for length in range(11 - start):
                assert backend.get_range("a", start, length) == data[start : start + length]

    def test_ranges_past_the_end_are_truncated(self, backend: Backend) -> None:
        """A range that the object doesn't hold whole is `TruncatedRead`, never fewer bytes."""
        backend.create("a", b"12345")
        backend.create("empty", b"")
        for name, start, length in (("a", 0, 6), ("a", 4, 2), ("a", 5, 1), ("a", 99, 1), ("empty", 0, 1)):
            with pytest.raises(TruncatedRead):
                backend.get_range(name, start, length)

    def test_negative_ranges_are_the_callers_mistake(self, backend: Backend) -> None:
        """A negative start is not counted from the end, as Python's slices would."""
        backend.create("a", b"12345")
        for start, length in ((-1, 1), (0, -1)):
            with pytest.raises(ValueError, match="not a range"):
                backend.get_range("a", start, length)

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_bad_names_are_refused(self, backend: Backend, name: str) -> None:
        """A name that could leave the store, hide or collide is refused by every method."""
        calls: tuple[Callable[[], object], ...] = (
            lambda: backend.create(name, b""),
            lambda: backend.put(name, b""),
            lambda: backend.get(name, limit_bytes=1),
            lambda: backend.get_range(name, 0, 1),
            lambda: backend.size(name),
            lambda: backend.exists(name),
            lambda: backend.delete(name),
        )
        for call in calls:
            with pytest.raises(InvalidName):
                call()
        assert list(backend.list("")) == []

    # --- listing and deleting ---

    def test_listings_are_sorted_and_filtered(self, backend: Backend) -> None:
        """A listing holds exactly the names that start with the prefix, sorted, with their sizes."""
        names = ["a", "a.b", "a-b", "b/c", "b.d", "b/c1/d", "packs/00/x", "packs/0a/x", "packs2/x", "log/0"]
        prefixes = ["a", "b", "b/", "b/c", "b/c1/", "packs", "packs/", "packs/0", "packs/00/", "log/0", "no/"]
        for name in names:
            backend.create(name, name.encode())
        for prefix in ("", *prefixes):
            expected = sorted(name for name in names if name.startswith(prefix))
            found = list(backend.list(prefix))
            assert [info.name for info in found] == expected
            assert [info.size_bytes for info in found] == [len(name) for name in expected]

    def test_an_empty_place_lists_nothing(self, backend: Backend) -> None:
        """Listing before anything was written is empty, not an error."""
        assert list(backend.list("")) == []
        assert list(backend.list("packs/")) == []

    def test_listings_see_every_change_at_once(self, backend: Backend) -> None:
        """Nothing is cached: what was just made shows, what was just deleted doesn't, to any client."""
        other = self.make_other(backend)
        for name in ("log/0", "log/1", "log/2"):
            backend.create(name, b"")
            assert [info.name for info in other.list("log/")][-1] == name
            assert other.exists(name)
        other.delete("log/1")
        assert [info.name for info in backend.list("log/")] == ["log/0", "log/2"]
        assert not backend.exists("log/1")

    def make_other(self, backend: Backend) -> Backend:
        """Return another client of the same place, where a subclass can make one."""
        return backend

    def test_delete_is_idempotent(self, backend: Backend) -> None:
        """A deleted object is gone; deleting it again, or one that never was, succeeds; its name is free."""
        backend.create("packs/aa/x", b"data")
        backend.create("packs/aa/y", b"data")
        for _ in range(2):
            backend.delete("packs/aa/x")
            assert not backend.exists("packs/aa/x")
        backend.delete("never/was/there")
        assert [info.name for info in backend.list("")] == ["packs/aa/y"]
        backend.create("packs/aa/x", b"again")
        assert backend.get("packs/aa/x", limit_bytes=LIMIT_BYTES) == b"again"

    def test_what_was_erased_leaves_no_trace(self, backend: Backend) -> None:
        """However often an object was made and deleted, and one that never was; others stay."""
        for data in (b"one", b"two"):
            backend.put("packs/aa/x", data)
            backend.delete("packs/aa/x")
        backend.put("packs/aa/x", b"three")
        backend.put("packs/aa/xx", b"other")
        assert backend.traces("packs/aa/x")
        for _ in range(2):
            backend.erase("packs/aa/x")
            assert not backend.exists("packs/aa/x")
            assert not backend.traces("packs/aa/x")
        backend.put("packs/aa/x", b"four")
        assert list(backend.erase_many(["packs/aa/x", "never/was/there", "packs/aa/none"])) == [None] * 3
        assert not backend.traces("packs/aa/x")
        assert not backend.traces("never/was/there")
        assert [info.name for info in backend.list("")] == ["packs/aa/xx"]

    # --- many at once ---

    def test_create_has_one_winner_of_twenty_threads(self, backend: Backend) -> None:
        """Of twenty threads that create one name at once, one wins, and its bytes are kept; on every name."""
        for key in range(self.race_keys):
            name = f"log/{key:016}"
            offers = [b"%02d" % racer * 500 for racer in range(RACERS)]
            winners = race_create(backend, name, offers)
            assert len(winners) == 1, name
            assert backend.get(name, limit_bytes=LIMIT_BYTES) == winners[0]

    def test_readers_never_see_half_an_object(self, backend: Backend) -> None:
        """While objects are made and replaced, every read and listing shows whole ones."""
        size_bytes = 64 << 10
        stop = threading.Event()
        broken: list[str] = []

        def read() -> None:
            while not stop.is_set():
                broken.extend(info.name for info in backend.list("") if info.size_bytes != size_bytes)
                try:
                    data = backend.get("put", limit_bytes=LIMIT_BYTES)
                except ObjectMissing:
                    continue
                if len(data) != size_bytes or len(set(data)) != 1:
                    broken.append("put")

        with ThreadPoolExecutor(2) as threads:
            readers = [threads.submit(read) for _ in range(2)]
            try:
                for turn in range(20):
                    backend.put("put", bytes([turn]) * size_bytes)
                    backend.create(f"new/{turn}", bytes([turn]) * size_bytes)
            finally:
                stop.set()
            for reader in readers:
                reader.result()
        assert broken == []

    def test_threads_share_a_backend(self, backend: Backend) -> None:
        """Threads that write, read, list and delete their own names don't disturb each other."""

        def work(worker: int) -> None:
            for turn in range(10):
                name = f"w{worker}/{turn % 3}/{turn}"
                data = f"{worker}/{turn}".encode() * 100
                backend.create(name, data)
                assert backend.get(name, limit_bytes=LIMIT_BYTES) == data
                assert [info.name for info in backend.list(name)] == [name]
                backend.delete(name)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert list(backend.list("")) == []

    def test_many_names_are_created_and_deleted_in_turn(self, backend: Backend) -> None:
        """Racing creates and deletes of one name end in `ObjectExists` or success, and no third thing."""
        failures: list[ArtifactStoreError] = []

        def work(worker: int) -> None:
            for _ in range(20):
                try:
                    backend.create("log/0", bytes([worker]))
                    backend.delete("log/0")
                except ObjectExists:
                    continue
                except ArtifactStoreError as error:
                    failures.append(error)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        assert failures == []

    # --- together ---

    def test_requests_made_together_end_as_each_would_alone(self, backend: Backend) -> None:
        """Answers come in the order asked, and what one lacks is its own error; there may be more than 64."""
        names = [f"packs/{number}" for number in range(70)]
        for name in names:
            backend.put(name, name.encode())
        wanted = [*names, "packs/none"]
        *found, missing = backend.get_many(wanted, limit_bytes=LIMIT_BYTES)
        assert found == [name.encode() for name in names]
        assert isinstance(missing, ObjectMissing)
        assert isinstance(backend.get_many(["packs/1"], limit_bytes=3)[0], ObjectTooLarge)
        assert backend.exist_many(wanted) == [True] * len(names) + [False]
        part, beyond = backend.get_ranges([ByteRange("packs/1", 2, 3), ByteRange("packs/1", 2, 30)])
        assert part == b"cks"
        assert isinstance(beyond, TruncatedRead)
        assert backend.get_many([], limit_bytes=1) == []

    def test_an_error_among_names_asked_for_is_raised(self, backend: Backend) -> None:
        """`exist_many` has no place for an error, so the first one is raised."""
        with pytest.raises(InvalidName):
            backend.exist_many(["a", ".."])

    # --- ends ---

    def test_close_may_be_called(self, backend: Backend) -> None:
        """A backend closes without complaint after use."""
        with closing(backend):
            backend.create(f"a/{SystemRandomness().token(4).hex()}", b"data")

    def test_the_url_shows(self, backend: Backend) -> None:
        """A backend says where it is, in its errors too."""
        assert backend.url
        with pytest.raises(ObjectMissing) as caught:
            backend.get("nothing", limit_bytes=1)
        assert caught.value.facts["url"] == backend.url
