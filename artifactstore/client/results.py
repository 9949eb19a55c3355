"""What the library hands back: plain structs with sizes in bytes and times in nanoseconds since the Unix epoch."""

from pathlib import Path

import msgspec

from artifactstore.client.version import Version


class PushPlan(msgspec.Struct, frozen=True):
    """What a push would read.

    Attributes:
        files: Entries that the version would have.
        logical_bytes: Bytes of its files.
        files_unchanged: Files that would not be read.
        files_to_read: Files that would be.
        bytes_to_read: Their bytes.
        paths: The first of them.
    """

    files: int
    logical_bytes: int
    files_unchanged: int
    files_to_read: int
    bytes_to_read: int
    paths: tuple[str, ...]


class PullSummary(msgspec.Struct, frozen=True):
    """What a pull did.

    Attributes:
        version: The version.
        destination: Where its files are.
        files: Entries that were selected.
        logical_bytes: Bytes of their files.
        files_written: Entries that were written.
        bytes_written: Bytes that were fetched and written.
        bytes_kept: Bytes that were there already, verified.
        references_left: References that were selected and left out.
        seconds: How long it took.
    """

    version: Version
    destination: Path
    files: int
    logical_bytes: int
    files_written: int
    bytes_written: int
    bytes_kept: int
    references_left: int
    seconds: float


class PullPlan(msgspec.Struct, frozen=True):
    """What a pull would write.

    Attributes:
        version: The version.
        files: Entries that are selected.
        logical_bytes: Bytes of their files.
        files_to_write: Entries that are not there yet.
        bytes_to_fetch: Bytes of those.
    """

    version: Version
    files: int
    logical_bytes: int
    files_to_write: int
    bytes_to_fetch: int


class ProjectInfo(msgspec.Struct, frozen=True):
    """One project.

    Attributes:
        name: Its name.
        artifacts: Artifacts with a version that is shown.
        versions: Versions that are shown.
        updated_ns: When the last of them changed, in nanoseconds since the Unix epoch.
    """

    name: str
    artifacts: int
    versions: int
    updated_ns: int


class ArtifactInfo(msgspec.Struct, frozen=True):
    """One artifact.

    Attributes:
        artifact: `project/name`, as it is called now.
        type: Its type.
        versions: How many it has that are not deleted.
        latest: The number of the newest of them.
        size_bytes: Bytes of the newest's files.
        updated_ns: When it was last changed, in nanoseconds since the Unix epoch.
        collection: Whether its versions are links.
    """

    artifact: str
    type: str
    versions: int
    latest: int
    size_bytes: int
    updated_ns: int
    collection: bool = False


class DeletionPlan(msgspec.Struct, frozen=True):
    """What a deletion would hide.

    Attributes:
        versions: The versions.
        aliases: References by alias, other than `latest`, that would go with them; they need `force`.
        logical_bytes: Bytes of the files of the versions.
        links: Links of them that would stay, as references; they need `force` too.
    """

    versions: tuple[Version, ...]
    aliases: tuple[str, ...]
    logical_bytes: int
    links: tuple[str, ...] = ()


class LogEntry(msgspec.Struct, frozen=True):
    """One slot of the log.

    Attributes:
        slot: Its number.
        time_ns: When its writer says it was made.
        kind: `create`, `commit`, `pending`, `adopt` or `void`.
        operations: What it did, in words.
        member: The slot key id that its writer claims, as hex.
        packs_added: Packs it registered.
        bytes_added: Their bytes.
    """

    slot: int
    time_ns: int
    kind: str
    operations: tuple[str, ...]
    member: str
    packs_added: int
    bytes_added: int


class IndexInfo(msgspec.Struct, frozen=True):
    """The client index of a store.

    Attributes:
        path: Its folder.
        size_bytes: Bytes on disk.
        packs: Packs it knows.
        chunks: Chunks it knows.
        slot: The last slot it has applied.
        stat_rows: Files in its stat cache.
    """

    path: Path
    size_bytes: int
    packs: int
    chunks: int
    slot: int
    stat_rows: int


class KeySlot(msgspec.Struct, frozen=True):
    """One way of unlocking the store.

    Attributes:
        id: The slot key's id, as hex.
        kind: `key-file`, `passphrase`, `public-key` or `recovery`.
        read_only: Whether it gets no signing key.
        name: Whose it is; empty for the one with which the store was made.
        added_ns: When, by its adder's clock; 0 when no record says so.
        added_by: The slot key id that its adder claimed, as hex; empty when no record says so.
    """

    id: str
    kind: str
    read_only: bool
    name: str
    added_ns: int
    added_by: str


class StoreInfo(msgspec.Struct, frozen=True):
    """A store as a whole.

    Attributes:
        id: SHA-256 of its first public key, as hex.
        url: Where it lies.
        created_ns: When it was made, by its maker's clock.
        generation: The current generation.
        slots: Its slot keys.
        records: Slots of the log.
        packs: Registered packs.
        chunks: Distinct chunks.
        projects: Projects.
        artifacts: Artifacts.
        versions: Versions.
        logical_bytes: Bytes of all files of all versions.
        unique_bytes: Raw bytes of all distinct data chunks.
        stored_bytes: Bytes of all packs.
        dedup_ratio: logical / unique bytes.
        compression_ratio: unique / stored bytes.
        single_writer: Whether it was opened for a single writer.
        probed_ns: When this client found that the backend creates exclusively, by its clock; 0 for never.
        key_file: The key file that unlocked it.
        cache: The folder of its index.
    """

    id: str
    url: str
    created_ns: int
    generation: int
    slots: tuple[KeySlot, ...]
    records: int
    packs: int
    chunks: int
    projects: int
    artifacts: int
    versions: int
    logical_bytes: int
    unique_bytes: int
    stored_bytes: int
    dedup_ratio: float
    compression_ratio: float
    single_writer: bool
    probed_ns: int
    key_file: Path
    cache: Path
