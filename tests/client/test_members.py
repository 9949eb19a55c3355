"""Several users of one store: who is added can read, who may only read can't write, who adds at once both stay."""

import pickle
import sys
from pathlib import Path

import msgspec
import pytest

from artifactstore import Store
from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.crypto.signing import SigningKey
from artifactstore.errors import (
    AccessError,
    Damaged,
    KeyMissing,
    PermissionRefused,
    PreconditionFailed,
    UsageError,
    WrongKey,
)
from artifactstore.format.keys import ARGON_MEMORY_KIB_MIN, keys_object_name
from artifactstore.format.operations import Alias, Sealed, encode_sealed
from artifactstore.format.record import (
    SIGNING_CONTEXT,
    Certificate,
    RecordType,
    encode_associated,
    slot_name,
)
from artifactstore.keyring.keyfile import create_key_file
from artifactstore.keyring.keyring import Member, create_secrets, make_keys_object
from artifactstore.keyring.request import KeyRequest, request_line
from tests.stores import make_store, objects_of, read_tree, reopened, state_of, write_tree

pytestmark = pytest.mark.places("folder", "s3")

WORDS = "correct horse battery staple"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one version."""
    write_tree(tmp_path / "in", {"a": b"data"})
    made = make_store(tmp_path)
    made.push([tmp_path / "in"], "p/n", aliases=["prod"])
    return made


def asked(folder: Path, name: str) -> str:
    """Somebody makes a key file and asks for access."""
    pair = create_key_file(folder / name, randomness=SystemRandomness(), clock=SystemClock())
    return request_line(KeyRequest(name, pair.public))


def client(tmp_path: Path, store: Store, name: str) -> Store:
    """The store as somebody else opens it, on a machine of their own."""
    return Store.open(store.url, key_file=tmp_path / name, cache_dir=tmp_path / f"cache-{name}")


def add_passphrase(store: Store, name: str = "typist", words: str = WORDS) -> None:
    store.members.add_passphrase(words, name, memory_kib=ARGON_MEMORY_KIB_MIN)


# --- adding -------------------------------------------------------------------------------------------------


def test_a_colleague_is_added_and_reads_and_writes(tmp_path: Path, store: Store) -> None:
    """A version pushed before is readable; what the colleague pushes, all see."""
    line = asked(tmp_path, "ana")
    with pytest.raises(WrongKey):
        client(tmp_path, store, "ana")
    slot = store.members.add(line)
    assert (slot.name, slot.kind, slot.read_only) == ("ana", "public-key", False)
    with client(tmp_path, store, "ana") as ana:
        ana.pull("p/n", tmp_path / "out")
        assert read_tree(tmp_path / "out") == {"a": b"data"}
        write_tree(tmp_path / "more", {"b": b"of ana"})
        assert ana.push([tmp_path / "more"], "p/n").number == 1
        ana.members.add(asked(tmp_path, "ben"))
    with client(tmp_path, store, "ben") as ben:
        assert ben.version("p/n").number == 1
        assert ben.check(read_data=True).ok
    assert store.version("p/n").number == 1


def test_the_list_says_who_when_and_by_whom(tmp_path: Path, store: Store) -> None:
    """Names and dates come from the log, alike for who replays it and who starts from a state."""
    founder = store.members.slots()[0]
    assert (founder.name, founder.kind, founder.added_ns, founder.added_by) == ("", "key-file", 0, "")
    store.members.add(asked(tmp_path, "ana"), read_only=True, name="ana.smith")
    add_passphrase(store)
    store.members.add_recovery()
    slots = store.members.slots()
    assert [(slot.name, slot.kind, slot.read_only) for slot in slots] == [
        ("", "key-file", False),
        ("ana.smith", "public-key", True),
        ("typist", "passphrase", False),
        ("recovery", "recovery", False),
    ]
    assert all(slot.added_ns and slot.added_by == founder.id for slot in slots[1:])
    store.push([tmp_path / "in"], "p/n", description="Enough for a state to be due. " * 2100)
    store.push([tmp_path / "in"], "p/n", description="Its record names the state.", aliases=["x"])
    with reopened(tmp_path, store, cache="fresh") as other:
        assert other._parts.catalog.position().state_prefix == 0
        assert other.members.slots() == slots
        assert other._parts.catalog.position().state_prefix > 0
        assert other.info().slots == slots


def test_no_name_lies_open(tmp_path: Path, store: Store) -> None:
    """Invariant 8: no object of the store holds the name of a member."""
    store.members.add(asked(tmp_path, "wilhelmina"))
    add_passphrase(store, "bartholomew")
    for data in objects_of(store).values():
        assert b"wilhelmina" not in data.lower()
        assert b"bartholomew" not in data.lower()


def test_a_key_is_added_once(tmp_path: Path, store: Store) -> None:
    """The second time it is refused, and nothing is written for it."""
    line = asked(tmp_path, "ana")
    store.members.add(line)
    before = state_of(store)
    with pytest.raises(PreconditionFailed, match="already"):
        store.members.add(line)
    assert state_of(store) == before


def test_a_line_without_a_key_is_refused(store: Store) -> None:
    """Zeros are a point that nothing can be sealed to."""
    before = state_of(store)
    with pytest.raises(UsageError):
        store.members.add(request_line(KeyRequest("nobody", bytes(32))))
    assert state_of(store) == before


def test_two_who_add_at_once_both_stay(tmp_path: Path, store: Store) -> None:
    """The one that loses the slot makes its object again, on top of the winner's."""
    ana, ben = asked(tmp_path, "ana"), asked(tmp_path, "ben")
    with reopened(tmp_path, store, cache="other") as other:
        other.members.slots()
        create = store._parts.backend.create
        raced: list[str] = []

        def slower(name: str, data: bytes) -> None:
            if not raced:
                raced.append(name)
                other.members.add(ben)
            create(name, data)

        store._parts.log._backend = type(  # the backend as the log sees it
            "Slow",
            (),
            {
                "__getattr__": lambda _, name: getattr(store._parts.backend, name),
                "create": staticmethod(slower),
            },
        )()
        store.members.add(ana)
    assert len(raced) == 1
    assert [slot.name for slot in store.members.slots()] == ["", "ben", "ana"]
    for name in ("ana", "ben"):
        with client(tmp_path, store, name) as member:
            assert member.version("p/n").number == 0


# --- reading only -------------------------------------------------------------------------------------------


def test_who_may_only_read_uploads_nothing(tmp_path: Path, store: Store) -> None:
    """Every way of writing is refused before a byte is written; every way of reading works."""
    store.members.add(asked(tmp_path, "ana"), read_only=True)
    before = objects_of(store)
    write_tree(tmp_path / "more", {"b": b"new"})
    with client(tmp_path, store, "ana") as ana:
        for write in (
            lambda: ana.push([tmp_path / "more"], "p/n"),
            lambda: ana.add_aliases("p/n", ["mine"]),
            lambda: ana.remove_aliases("p/n", ["prod"]),
            lambda: ana.add_tags("p/n", ["mine"]),
            lambda: ana.remove_tags("p/n", ["mine"]),
            lambda: ana.delete(["p/n:v0"], force=True),
            lambda: ana.members.add(asked(tmp_path, "ben")),
            lambda: ana.members.add_passphrase(WORDS, "ben"),
            ana.members.add_recovery,
        ):
            (tmp_path / "ben").unlink(missing_ok=True)
            with pytest.raises(PermissionRefused, match="may read") as caught:
                write()
            assert caught.value.exit_code == 5
        ana.pull("p/n", tmp_path / "out")
        assert ana.check(read_data=True).ok
        assert len(ana.members.slots()) == 2
        assert [entry.kind for entry in ana.log()] == ["commit", "commit", "create"]
    assert objects_of(store) == before


def test_a_record_of_who_may_only_read_is_void(tmp_path: Path, store: Store) -> None:
    """They can seal a record, and write it to the bucket; without the signing key it counts for nothing."""
    store.members.add(asked(tmp_path, "ana"), read_only=True)
    with client(tmp_path, store, "ana") as ana:
        ana.version("p/n")
        parts = ana._parts
        assert parts.keyring.signing_key is None
        assert parts.keyring.secrets.signing_private == b""
        # A program of their own, with a signing key of its own: under the store's certificate, and under its own.
        own = SigningKey.generate(SystemRandomness())
        unalias = Sealed(parts.keyring.slot_id, [], [], [Alias("p", "n", None, ["prod"])], None, None)
        plain = encode_sealed(unalias)
        for public in (None, own.public_bytes):
            position = parts.log.follow(parts.catalog)
            clear = store._parts.committer._clear(position, bytes(16), RecordType.COMMIT, [], None)
            if public is not None:
                clear = msgspec.structs.replace(clear, certificate=Certificate(public, 0, b""))
            head = encode_associated(clear, 32 + len(plain) + 16)
            signed = head + parts.keyring.seal_generation("record", plain, head, SystemRandomness())
            record = signed + own.sign(SIGNING_CONTEXT + signed)
            store._parts.backend.put(slot_name(clear.slot), record)
            assert "prod" in ana.version("p/n").aliases
    assert "prod" in store.version("p/n").aliases
    assert [entry.kind for entry in store.log(limit=2)] == ["void", "void"]
    write_tree(tmp_path / "more", {"b": b"new"})
    assert store.push([tmp_path / "more"], "p/n").number == 1


# --- what lies in keys/ -------------------------------------------------------------------------------------


def test_an_object_put_into_keys_by_hand_counts_for_nothing(tmp_path: Path, store: Store) -> None:
    """Well made and with a slot for the intruder, it is named by no record, so it is never read."""
    pair = create_key_file(tmp_path / "eve", randomness=SystemRandomness(), clock=SystemClock())
    data = make_keys_object(
        bytes.fromhex(store.id), 0, create_secrets(SystemRandomness()), [Member(pair.public)]
    )
    store._parts.backend.put(keys_object_name(data), data)
    with pytest.raises(WrongKey):
        client(tmp_path, store, "eve")
    with reopened(tmp_path, store, cache="fresh") as other:
        assert [slot.kind for slot in other.members.slots()] == ["key-file"]
        assert other.check().ok


def test_a_keys_object_that_is_gone(tmp_path: Path, store: Store) -> None:
    """Who is in an older one still gets in; who is only in the one that is gone is told what is damaged."""
    backend = store._parts.backend
    first = {info.name for info in backend.list("keys/")}
    store.members.add(asked(tmp_path, "ana"))
    (current,) = [info.name for info in backend.list("keys/") if info.name not in first]
    backend.delete(current)
    with pytest.raises((WrongKey, Damaged)):
        client(tmp_path, store, "ana")
    with reopened(tmp_path, store, cache="fresh") as other:
        assert other.version("p/n").number == 0
        assert [problem.object for problem in other.check().problems] == [current]
        with pytest.raises(Damaged, match="keys/"):
            other.members.add(asked(tmp_path, "ben"))


def test_the_first_keys_object_gone_is_no_loss(tmp_path: Path, store: Store) -> None:
    """The current one, which the last valid record names, holds every slot."""
    (first,) = store._parts.backend.list("keys/")
    store.members.add(asked(tmp_path, "ana"))
    store._parts.backend.delete(first.name)
    for name in ("key", "ana"):
        with client(tmp_path, store, name) as member:
            assert member.version("p/n").number == 0


# --- unlocking ----------------------------------------------------------------------------------------------


def test_passphrase_and_recovery_phrase_open_the_store(tmp_path: Path, store: Store) -> None:
    """Also when every key file is gone; other words open nothing, and say what to do."""
    add_passphrase(store)
    _, phrase = store.members.add_recovery()
    (tmp_path / "key").unlink()
    place, cache = store.url, tmp_path / "fresh"
    for words in (WORDS, phrase, phrase.lower()):
        with Store.open(place, passphrase=words, cache_dir=cache) as opened:
            assert opened.version("p/n:v0").number == 0
            write_tree(tmp_path / words, {"b": words.encode()})
            opened.push([tmp_path / words], "p/n")
    for words in ("wrong horse battery staple", phrase[:-1] + ("A" if phrase[-1] != "A" else "B")):
        with pytest.raises(WrongKey) as caught:
            Store.open(place, passphrase=words, cache_dir=cache)
        assert caught.value.next_step


def test_a_store_without_a_passphrase_says_so(tmp_path: Path, store: Store) -> None:
    """Nothing is derived for nothing."""
    with pytest.raises(WrongKey, match="takes a passphrase"):
        Store.open(store.url, passphrase=WORDS, cache_dir=tmp_path / "fresh")


def test_the_prompt_comes_last(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked is only when nothing is named, the default key file opens nothing, and a passphrase could help."""
    place, cache = store.url, tmp_path / "fresh"
    answers = ["first slip of the hand", WORDS]
    with pytest.raises(KeyMissing):
        Store.open(place, cache_dir=cache, ask=lambda: pytest.fail("no passphrase could help"))
    add_passphrase(store)
    with Store.open(place, cache_dir=cache, ask=lambda: answers.pop(0)) as opened:
        assert opened.id == store.id
    assert answers == []
    with pytest.raises(KeyMissing, match="no passphrase was given"):
        Store.open(place, cache_dir=cache, ask=lambda: None)
    with pytest.raises(WrongKey):
        Store.open(place, cache_dir=cache, ask=lambda: "nonsense")
    with pytest.raises(KeyMissing):
        Store.open(
            place, cache_dir=cache, key_file=tmp_path / "nowhere", ask=lambda: pytest.fail("it was named")
        )
    monkeypatch.setenv("ARTIFACTSTORE_KEY_FILE", str(tmp_path / "key"))
    Store.open(place, cache_dir=cache, ask=lambda: pytest.fail("the environment names a key")).close()


def test_a_password_command(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line is the passphrase, from an argument or the environment; a failing one is an error of its own."""
    add_passphrase(store)
    place, cache = store.url, tmp_path / "fresh"
    (tmp_path / "words").write_text(f"{WORDS}\nand a note\n")
    command = f"cat {tmp_path / 'words'}"
    Store.open(place, cache_dir=cache, password_command=command).close()
    monkeypatch.setenv("ARTIFACTSTORE_PASSWORD_COMMAND", command)
    Store.open(place, cache_dir=cache).close()
    Store.open(place, cache_dir=cache, key_file=tmp_path / "key").close()
    monkeypatch.delenv("ARTIFACTSTORE_PASSWORD_COMMAND")
    bad = (
        "false",
        "true",
        "/does/not/exist",
        "unclosed 'quote",
        "",
        f"{sys.executable} -c 'print(5000 * chr(120))'",
        f"{sys.executable} -c 'import os; os.write(1, bytes([255, 10]))'",
    )
    for each in bad:
        with pytest.raises(AccessError, match="password command") as caught:
            Store.open(place, cache_dir=cache, password_command=each)
        assert caught.value.exit_code == 5


def test_one_way_is_named(tmp_path: Path, store: Store) -> None:
    """Two at once could mean two things."""
    with pytest.raises(UsageError, match="more than one"):
        Store.open(store.url, key_file=tmp_path / "key", passphrase=WORDS)


def test_a_pickled_store_asks_nobody(tmp_path: Path, store: Store) -> None:
    """A spawned process opens it with the slot's key; neither the passphrase nor the key is shown."""
    add_passphrase(store)
    with Store.open(store.url, passphrase=WORDS, cache_dir=tmp_path / "fresh") as opened:
        packed = pickle.dumps(opened)
        assert WORDS.encode() not in packed
        assert WORDS not in repr(opened._access)
        with pickle.loads(packed) as again:
            assert again.version("p/n").number == 0


# --- taking away --------------------------------------------------------------------------------------------------


def test_who_is_removed_opens_nothing_any_more(tmp_path: Path, store: Store) -> None:
    """Not what is written later, nor what lies in the bucket now; the others go on, and find the list shorter."""
    for name in ("ana", "ben"):
        store.members.add(asked(tmp_path, name))
    with client(tmp_path, store, "ana") as ana, client(tmp_path, store, "ben") as ben:
        assert ana.version("p/n").number == ben.version("p/n").number == 0
        gone = store.members.remove(next(slot.id for slot in store.members.slots() if slot.name == "ana")[:8])
        assert gone.name == "ana"
        write_tree(tmp_path / "in", {"b": b"later"})
        store.push([tmp_path / "in"], "p/n")
        assert ben.version("p/n").number == 1
        assert [slot.name for slot in ben.members.slots()] == ["", "ben"]
        with pytest.raises(WrongKey, match="opens no slot"):
            ana.version("p/n")
        with pytest.raises(WrongKey):
            ana.push([tmp_path / "in"], "p/n")
    with pytest.raises(WrongKey):
        client(tmp_path, store, "ana")
    stored = [data for name, data in objects_of(store).items() if name.startswith("keys/")]
    assert len(stored) == 2
    assert not any(bytes.fromhex(gone.id) in data for data in stored)


def test_the_slot_that_one_unlocks_with_stays(store: Store) -> None:
    """Nobody locks themselves out; an id that fits none, or several, says so."""
    (own,) = store.members.slots()
    with pytest.raises(PreconditionFailed, match="you unlock the store with"):
        store.members.remove(own.id)
    for slot in ("", "abc", "0" * 32):
        with pytest.raises(UsageError, match="no slot"):
            store.members.remove(slot)


def test_keys_are_rotated_for_the_same_slots(tmp_path: Path, store: Store) -> None:
    """Everybody goes on, with a generation of new keys; the objects of the one before are gone."""
    store.members.add(asked(tmp_path, "ana"), read_only=True)
    with client(tmp_path, store, "ana") as ana:
        assert store.members.rotate() == 1
        assert ana.version("p/n").number == 0
        assert ana.members.generation == 1
        with pytest.raises(PermissionRefused):
            ana.members.rotate()
    assert store.members.rotate() == 2
    with client(tmp_path, store, "ana") as ana:
        ana.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a": b"data"}


def test_a_passphrase_is_changed_by_its_owner(tmp_path: Path, store: Store) -> None:
    """The old one opens nothing; the client that changed it goes on, and the name stays with the slot."""
    add_passphrase(store)
    with Store.open(store.url, passphrase=WORDS, cache_dir=tmp_path / "typing") as typing:
        changed = typing.members.change_passphrase("another one altogether", memory_kib=ARGON_MEMORY_KIB_MIN)
        assert (changed.name, changed.kind) == ("typist", "passphrase")
        typing.push([tmp_path / "in"], "p/n", tags=["changed"])
    with pytest.raises(WrongKey):
        Store.open(store.url, passphrase=WORDS, cache_dir=tmp_path / "later")
    with Store.open(store.url, passphrase="another one altogether", cache_dir=tmp_path / "later") as later:
        assert later.version("p/n").tags == ("changed",)
    assert store.version("p/n").number == 0


def test_two_who_change_keys_at_once_both_succeed(tmp_path: Path, store: Store) -> None:
    """One sweep is on top of the other."""
    store.members.add(asked(tmp_path, "ana"))
    store.members.add(asked(tmp_path, "ben"))
    with client(tmp_path, store, "ana") as ana:
        ben = next(slot.id for slot in store.members.slots() if slot.name == "ben")
        before = ana.members.generation
        store.members.rotate()
        ana.members.remove(ben)
        assert ana.members.generation == before + 2
    assert [slot.name for slot in store.members.slots()] == ["", "ana"]
