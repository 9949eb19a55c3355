"""Making and opening stores: the backend, the key, record 0, the client index, and the parts wired together."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from artifactstore.backend.base import Backend, outcome_of
from artifactstore.backend.observed import ObservedBackend
from artifactstore.backend.opening import open_backend
from artifactstore.backend.probe import PROBE_PREFIX, probe
from artifactstore.backend.retrying import RetryingBackend
from artifactstore.backend.wrapping import ThrottledBackend
from artifactstore.catalog.commit import Committer
from artifactstore.catalog.generation import certificate_of
from artifactstore.catalog.replay import Catalog
from artifactstore.chunking.chunker import GENERAL, NORMALIZATION, WEIGHTS
from artifactstore.client.kept import KeptKeys
from artifactstore.client.pins import expected_id, pin, pinned, refuse_other_id
from artifactstore.clock import Clock, Randomness
from artifactstore.config import default_key_file, load_settings
from artifactstore.content.get import CACHE_BYTES, ChunkReader
from artifactstore.content.locate import Locator
from artifactstore.crypto.aead import Aead
from artifactstore.crypto.derive import hkdf_sha256
from artifactstore.crypto.hashing import sha256
from artifactstore.crypto.signing import SigningKey
from artifactstore.crypto.suite import SALT_SIZE_BYTES
from artifactstore.errors import (
    Damaged,
    ForeignContents,
    NewerStore,
    NoSuchStore,
    PermissionRefused,
    StoreExists,
    UsageError,
)
from artifactstore.executors import Executors
from artifactstore.format.keys import KEYS_BYTES_MAX, KeysObject
from artifactstore.format.limits import BLOB_RAW_BYTES_TARGET, PACK_BYTES_TARGET
from artifactstore.format.operations import Parameters
from artifactstore.format.record import Certificate, Clear, RecordType, decode_frame, slot_name
from artifactstore.index.environment import Environment, destroy
from artifactstore.index.header import IndexBroken
from artifactstore.index.places import all_folders, has_index, index_folder, refuse_shared
from artifactstore.index.tables import (
    LAYOUT,
    TABLES,
    Facts,
    PackTable,
    read_facts,
    read_position,
    write_facts,
)
from artifactstore.keyring.keyfile import load_or_create_key_file
from artifactstore.keyring.keyring import Keyring, Member, create_secrets, make_keys_object, unlock
from artifactstore.keyring.objects import read_keys
from artifactstore.keyring.unlocking import Ways, unlock_by
from artifactstore.log.head import Glance, find_end, glance
from artifactstore.log.log import Log
from artifactstore.log.merkle import EMPTY_ROOT
from artifactstore.log.records import examine, open_slot
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots
from artifactstore.log.start import Start, read_start
from artifactstore.log.tiles import Tiles
from artifactstore.observer import Observer, Watch

# What restic and others of its kind use too: level 1 stores 6% more of unpacked wheels, level 4 takes twice the time.
COMPRESSION_LEVEL: Final = 3
COMPRESSION_LEVEL_MAX: Final = 19
# Of `keys/` objects that are asked for ahead; a record names one, as a rule.
_KEYS_AT_ONCE: Final = 4
# While a client unlocks one generation, so many more may begin.
_SWEEPS_MAX: Final = 16
_ONE_WRITER: Final = (
    "single-writer mode: nothing keeps two writers apart here; see to it that only one program writes"
)
_PARAMETERS: Final = Parameters(
    GENERAL.average, WEIGHTS.average, NORMALIZATION, PACK_BYTES_TARGET, BLOB_RAW_BYTES_TARGET
)


class Access(NamedTuple):
    """How a client reaches a store.

    Attributes:
        url: Where it lies.
        ways: What unlocks it.
        cache_dir: Where client indexes are kept.
        storage_options: What the backend's file system takes.
        single_writer: Whether the caller vouches for being the only writer.
        upload_bytes_per_s: Limit on uploads, or None.
        download_bytes_per_s: Limit on downloads, or None.
        compression_level: zstd level of what this client pushes.
        wrap_backend: Puts a wrapper around the backend, for metering and faults; None for none.
        observer: Who is told of operations and requests; nobody when None.
        cache_bytes: How much of what was opened is kept for the next read.
    """

    url: str
    ways: Ways
    cache_dir: Path
    storage_options: Mapping[str, Any] | None
    single_writer: bool
    upload_bytes_per_s: int | None = None
    download_bytes_per_s: int | None = None
    compression_level: int = COMPRESSION_LEVEL
    wrap_backend: Callable[[Backend], Backend] | None = None
    observer: Observer | None = None
    cache_bytes: int = CACHE_BYTES

    def watch(self, clock: Clock) -> Watch:
        """Tells the observer and the log."""
        return Watch(self.observer, clock.monotonic_s)


class Parts(NamedTuple):
    """An open store's parts, wired."""

    backend: Backend
    keyring: Keyring
    environment: Environment
    packs: PackTable
    log: Log
    catalog: Catalog
    locator: Locator
    reader: ChunkReader
    committer: Committer
    notices: list[str]


def access_to(
    url: str | os.PathLike[str],
    *,
    key_file: Path | None = None,
    passphrase: str | None = None,
    password_command: str | None = None,
    ask: Callable[[], str | None] | None = None,
    cache_dir: Path | None = None,
    storage_options: Mapping[str, Any] | None = None,
    single_writer: bool = False,
    upload_bytes_per_s: int | None = None,
    download_bytes_per_s: int | None = None,
    compression_level: int | None = None,
    observer: Observer | None = None,
    cache_bytes: int | None = None,
) -> Access:
    """Fill in the default places of key file and cache, and hold on to where relative ones are now.

    A store is opened again after a fork and in a spawned process, which may be somewhere else by then.

    Raises:
        UsageError: The compression level is out of range, or more than one way of unlocking is given.
    """
    level = COMPRESSION_LEVEL if compression_level is None else compression_level
    if not 1 <= level <= COMPRESSION_LEVEL_MAX:
        raise UsageError(
            f"compression level {level} is not between 1 and {COMPRESSION_LEVEL_MAX}", level=level
        )
    location = os.fspath(url)
    if "://" not in location:
        location = os.path.abspath(os.path.expanduser(location))
    if sum(way is not None for way in (key_file, passphrase, password_command)) > 1:
        raise UsageError(
            "more than one of key file, passphrase and password command are given",
            next_step="give one of them",
        )
    named = key_file is not None
    unlocked = named or passphrase is not None or password_command is not None
    if cache_dir is None or storage_options is None or not unlocked:
        settings = load_settings(store=location, key_file=key_file, cache_dir=cache_dir)
        cache_dir = settings.cache_dir
        storage_options = settings.storage if storage_options is None else storage_options
        if not unlocked:
            key_file, named = settings.key_file, settings.key_file_named
            password_command = settings.password_command
    ways = Ways(
        Path(key_file or default_key_file()).absolute(),
        key_file_named=named,
        passphrase=passphrase,
        password_command=password_command,
        ask=ask,
    )
    return Access(
        location,
        ways,
        Path(cache_dir).absolute(),
        storage_options,
        single_writer,
        upload_bytes_per_s,
        download_bytes_per_s,
        level,
        observer=observer,
        cache_bytes=CACHE_BYTES if cache_bytes is None else cache_bytes,
    )


def create_parts(access: Access, clock: Clock, randomness: Randomness, executors: Executors) -> Parts:
    """Make a store: the backend's promise is tested, then come keys, then record 0, which is the store.

    Raises:
        StoreExists: There is one already.
        ForeignContents: Something else is there.
        UntrustedBackend: Two writers can create one object there.
        CacheShared: Others can change the cache directory.
    """
    refuse_shared(access.cache_dir)
    backend = backend_of(access, clock, randomness, make=True)
    refuse_occupied(backend)
    if not access.single_writer:
        probe(backend, randomness, executors)
    pair, _ = load_or_create_key_file(access.ways.key_file, randomness=randomness, clock=clock)
    secrets = create_secrets(randomness)
    store_id = sha256(SigningKey(secrets.signing_private).public_bytes)
    keys = make_keys_object(store_id, 0, secrets, [Member(pair.public)])
    keyring = unlock(keys, store_id, pair)
    backend.put(keyring.keys_object, keys)
    parts = wire(access, backend, keyring, clock, randomness)
    try:
        parts.committer.commit([], kind=RecordType.CREATE, parameters=_PARAMETERS)
    except BaseException:
        parts.environment.close()
        raise
    pin(access.cache_dir, access.url, store_id)
    return parts


def open_parts(
    access: Access, clock: Clock, randomness: Randomness, *, store_id: str | None
) -> tuple[Parts, Access]:
    """Open a store that exists; return its parts, and the access that opens it again without asking anybody.

    Args:
        access: How to reach it.
        clock: Time.
        randomness: Randomness.
        store_id: The id that it must have, as hex; None to take what this client saw there first.

    Raises:
        NoSuchStore: There is none.
        WrongKey: The key opens no slot of it.
        RolledBack: Another store lies there than the one expected.
        NewerStore: It is of a format that this release does not know.
        CacheShared: Others can change the cache directory.
    """
    refuse_shared(access.cache_dir)
    backend = backend_of(access, clock, randomness, make=False)
    known = pinned(access.cache_dir, access.url)
    # Who has no index looks for the head at once.
    new = known is None or not has_index(index_folder(access.cache_dir, known).path)
    seen = glance(Slots(backend)) if new else None
    found, keys, record = identity_of(backend, seen)
    refuse_other_id(backend.url, expected_id(store_id, known), found, named=bool(store_id))
    kept = KeptKeys(backend, access.cache_dir)
    begun: Start | None = None
    newest: Clear | None = None
    if seen is not None:
        slots, signers = Slots(backend), Signers(found)
        end = find_end(slots, seen, signers, _fetching(kept, keys))
        newest = end.clear
        later = [] if newest is None else [digest for digest in newest.keys if digest not in keys]
        begun = read_start(slots, Tiles(backend, signers), end, _fetching(kept, later))
    candidates = keys_objects(kept, found, [*kept.current(found), *keys], newest)
    keyring, pair = unlock_by(access.ways, candidates, backend.url)
    _check_parameters(record, keyring)
    expected_index = known == found and not keyring.generation
    parts = wire(access, backend, keyring, clock, randomness, known=expected_index, begun=begun)
    pin(access.cache_dir, access.url, found)
    if access.ways.passphrase or access.ways.password_command or access.ways.ask:
        # Another process can't be asked for a passphrase, and should not spend Argon2's memory again.
        access = access._replace(
            ways=access.ways._replace(pair=pair, passphrase=None, password_command=None, ask=None)
        )
    return parts, access


def with_empty_index(access: Access, parts: Parts, clock: Clock, randomness: Randomness) -> Parts:
    """The same open store over an index that is made anew; it asks nothing of the backend, so it can't half fail."""
    path = parts.environment.path
    parts.environment.close()
    destroy(path)
    return wire(access, parts.backend, parts.keyring, clock, randomness, notices=parts.notices)


@contextmanager
def without_memory(access: Access, parts: Parts, clock: Clock, randomness: Randomness) -> Iterator[Parts]:
    """The same open store for a `with` block, as a client sees it that has never seen it before."""
    access.cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    slots = Slots(parts.backend)
    store_id = parts.keyring.store_id
    last = find_end(slots, glance(slots), Signers(store_id)).clear
    if last is None:
        raise Damaged("the log holds no valid record")
    # The bucket may be of an earlier generation than this client.
    keys = (read_keys(parts.backend, store_id, digest) for digest in last.keys)
    keyring, _ = unlock_by(access.ways, keys, parts.backend.url)
    with TemporaryDirectory(prefix="adopting-", dir=access.cache_dir) as folder:
        fresh = wire(access._replace(cache_dir=Path(folder)), parts.backend, keyring, clock, randomness)
        try:
            yield fresh
        finally:
            fresh.environment.close()
            destroy(fresh.environment.path)


def with_memory_of(access: Access, parts: Parts, fresh: Parts, clock: Clock, randomness: Randomness) -> Parts:
    """The same open store, that remembers from now on what a client without memory found there."""
    path = parts.environment.path
    parts.environment.close()
    for folder in all_folders(path):
        destroy(folder)
    keyring = fresh.keyring
    digests = fresh.catalog.position().keys
    KeptKeys(parts.backend, access.cache_dir).keep_only(keyring.store_id, digests, ())
    return wire(access, parts.backend, keyring, clock, randomness, notices=parts.notices)


def refuse_occupied(backend: Backend) -> None:
    """Refuse a place where a store or anything else lies.

    Raises:
        StoreExists: A store.
        ForeignContents: Something else.
    """
    for info in backend.list(""):
        if info.name == slot_name(0):
            # Reading makes durable what its writer may have been killed before: what is told to be there stays.
            outcome_of(partial(Slots(backend).read, 0))
            raise StoreExists(f"there is a store at {backend.url} already", url=backend.url)
        # keys/ and probe/ may be left of an init that was cut; log/ sorts between them.
        if not info.name.startswith((PROBE_PREFIX, "keys/")):
            raise ForeignContents(
                f"{backend.url} holds {info.name!r}, which is not a store's", object=info.name
            )


def backend_of(access: Access, clock: Clock, randomness: Randomness, *, make: bool) -> Backend:
    """The backend of a store, with what this client puts around it: retries, and limits where there are any."""
    backend = open_backend(access.url, storage_options=access.storage_options, make=make)
    if access.wrap_backend is not None:
        backend = access.wrap_backend(backend)
    watch = access.watch(clock)
    if watch.sees_requests:
        backend = ObservedBackend(backend, watch)
    if backend.is_remote:
        backend = RetryingBackend(backend, clock, randomness)
    if access.upload_bytes_per_s or access.download_bytes_per_s:
        return ThrottledBackend(backend, access.upload_bytes_per_s, access.download_bytes_per_s, clock)
    return backend


def _fetching(kept: KeptKeys, digests: Sequence[bytes]) -> list[Callable[[], object]]:
    """Requests that bring `keys/` objects; what comes of them shows when they are read."""
    names = [f"keys/{digest.hex()}" for digest in digests[:_KEYS_AT_ONCE]]
    return [partial(outcome_of, partial(kept.get, name, limit_bytes=KEYS_BYTES_MAX)) for name in names]


def identity_of(backend: Backend, seen: Glance | None = None) -> tuple[bytes, list[bytes], bytes]:
    """The store's id, the names of its `keys/` objects, and record 0 that says so, verified against itself.

    Args:
        backend: Where the store lies.
        seen: What a glance has told of the log, where there was one.
    """
    where = slot_name(0)
    data = Slots(backend).read(0) if seen is None else seen.first
    if data is None:
        if _has_records(backend):
            raise Damaged(f"{where} is missing, and records lie beyond it", object=where)
        raise NoSuchStore(f"there is no store at {backend.url}", url=backend.url)
    frame = None
    try:
        frame = decode_frame(data, where)
        store_id = sha256(frame.clear.certificate.public)
    except Damaged:
        store_id = b""
    frame = examine(data, 0, Signers(store_id))
    if frame is None:
        raise Damaged(f"{where}, which makes the store, was altered", object=where)
    return store_id, frame.clear.keys, data


def _has_records(backend: Backend) -> bool:
    """Whether any record is to be seen; where listing is forbidden, whether the next one is."""
    try:
        return next(iter(backend.list("log/")), None) is not None
    except PermissionRefused:
        return backend.exists(slot_name(1))


def _check_parameters(record: bytes, keyring: Keyring) -> None:
    """Refuse a store that is cut or packed in another way: what this release pushed would not dedup against it.

    Raises:
        NewerStore: Its parameters are others.
        Damaged: Record 0 does not open.
    """
    if keyring.generation:
        return  # the state that the sweep made says them again
    sealed = open_slot(record, 0, EMPTY_ROOT, 0, keyring, Signers(keyring.store_id)).sealed
    if sealed is None or sealed.parameters is None:
        raise Damaged(f"{slot_name(0)} names no parameters", object=slot_name(0))
    refuse_other_parameters(sealed.parameters)


def refuse_other_parameters(parameters: Parameters | None) -> None:
    """Refuse a store that is cut or packed in another way than this release does.

    Raises:
        NewerStore: Its parameters are others.
    """
    if parameters not in {None, _PARAMETERS}:
        raise NewerStore(
            "the store was made with other chunk or pack sizes",
            found=str(parameters),
            expected=str(_PARAMETERS),
        )


def keys_objects(
    backend: Backend, store_id: bytes, first: Sequence[bytes], newest: Clear | None = None
) -> Iterator[tuple[str, KeysObject]]:
    """The `keys/` objects of a store that may unlock it, the likeliest first, each whole.

    Those that cost no look at the log come first: where they seal secrets of an earlier generation, following the log
    shows it. Who was added later is found in those that the last valid record names. What else lies in `keys/` counts
    for nothing.

    Args:
        backend: Where they lie.
        store_id: The store.
        first: Names of those that this client unlocked last, and of those of record 0.
        newest: The last valid record, where it is known already.

    Raises:
        Damaged: None is whole.
    """
    failure: Damaged | None = None
    whole = False
    if newest is not None and newest.generation:
        first = [*newest.keys, *first]
    for digest in dict.fromkeys(first):
        try:
            yield read_keys(backend, store_id, digest)
            whole = True
        except Damaged as error:
            failure = error
    tried = set(first)
    for _ in range(_SWEEPS_MAX):
        looked = newest is None
        if newest is None:
            slots = Slots(backend)
            newest = find_end(slots, glance(slots), Signers(store_id)).clear
        untried = [] if newest is None else [digest for digest in newest.keys if digest not in tried]
        tried.update(untried)
        for digest in untried:
            try:
                yield read_keys(backend, store_id, digest)
                whole = True
            except Damaged as error:
                failure = error
        if whole or (looked and not untried):
            break
        # A sweep may have taken them away since they were named.
        newest = None
    if failure is not None and not whole:
        raise failure


def wire(
    access: Access,
    backend: Backend,
    keyring: Keyring,
    clock: Clock,
    randomness: Randomness,
    *,
    known: bool = False,
    begun: Start | None = None,
    notices: list[str] | None = None,
    rejected: Iterable[bytes] = (),
    remembered: Mapping[int, Certificate] | None = None,
) -> Parts:
    """Wire the parts of an unlocked store over the index of its generation.

    Args:
        access: How it is reached.
        backend: Where it lies.
        keyring: Its keys.
        clock: Time.
        randomness: Randomness.
        known: Whether this client has had an index of that generation.
        begun: What was read of the log before the store was unlocked.
        notices: Where sentences for the user go; a new list when None.
        rejected: Signing keys that turned out not to be the store's.
        remembered: Certificates of signing keys that this client has known before.
    """
    folder = index_folder(access.cache_dir, keyring.store_id, keyring.generation)
    if notices is None:
        notices = [_ONE_WRITER] if access.single_writer else []
        if folder.notice:
            notices.append(folder.notice)
    environment, facts = open_index(folder.path, keyring, randomness, notices, known=known)
    packs = PackTable(Aead(hkdf_sha256(keyring.kek, salt=facts.salt, info=b"artifactstore index")))
    signers = Signers(keyring.store_id, _recall_from(environment), rejected, remembered)
    log = Log(backend, keyring, signers, clock, begun)
    catalog = Catalog(backend, environment, packs, keyring, notices)
    locator = Locator(backend, environment, packs, keyring, notices)
    reader = ChunkReader(backend, environment, packs, keyring, locator, cache_bytes=access.cache_bytes)
    committer = Committer(backend, environment, packs, keyring, log, catalog, clock, randomness)
    return Parts(backend, keyring, environment, packs, log, catalog, locator, reader, committer, notices)


def _recall_from(environment: Environment) -> Callable[[int], Certificate | None]:
    def recall(generation: int) -> Certificate | None:
        with environment.read() as txn:
            return certificate_of(txn, generation)

    return recall


def open_index(
    path: Path, keyring: Keyring, randomness: Randomness, notices: list[str], *, known: bool = False
) -> tuple[Environment, Facts]:
    """Open a store's index; one that can't be used, or is another store's, is made anew, with a word.

    Args:
        path: Its folder.
        keyring: Gives the store's id.
        randomness: Makes a new index's salt.
        notices: Where the word goes.
        known: Whether this client has had an index of the store: one that is gone is worth a word too.
    """
    for attempt in range(2):
        try:
            environment = Environment.open(path, tables=TABLES)
            try:
                facts, fresh = _facts(environment, keyring, randomness)
            except (IndexBroken, Damaged):
                broken = "it was altered"
            else:
                if facts.layout == LAYOUT and facts.store_id == keyring.store_id:
                    if fresh and known and not attempt:
                        notices.append(f"the index in {path} is gone; it is built anew from the log")
                    return environment, facts
                broken = "it is of another store or release"
            environment.close()
        except IndexBroken as error:
            if attempt:
                raise
            broken = error.reason
        notices.append(f"the index in {path} can't be used ({broken}); it is built anew from the log")
        destroy(path)
    raise Damaged(f"the index in {path} can't be made", path=str(path))


def _facts(environment: Environment, keyring: Keyring, randomness: Randomness) -> tuple[Facts, bool]:
    """What an index says it is, and whether it is a new one that has just been told."""
    with environment.read() as txn:
        facts = read_facts(txn)
        read_position(txn)
    if facts is not None:
        return facts, False
    with environment.write() as txn:
        facts = read_facts(txn)
        if facts is not None:
            return facts, False
        facts = Facts(LAYOUT, keyring.store_id, randomness.token(SALT_SIZE_BYTES))
        write_facts(txn, facts)
    return facts, True
