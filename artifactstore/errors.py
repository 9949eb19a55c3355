"""Every error this project raises, drawn in one place.

Each class has a stable `kind` (what `--json` prints), an exit code, the facts as attributes in `facts`,
and a next step that a person can take. The tree::

    ArtifactStoreError
    ├── UsageError            2   InvalidReference, InvalidToken, InvalidPart, InvalidName, InvalidMetadata,
    │                             InvalidLock, InvalidQuery, InvalidURL, NotSaved, Unsupported, MissingExtra
    ├── NotFoundError         3   NoSuchPath, NoSuchStore, NoSuchProject, NoSuchArtifact, NoSuchVersion,
    │                             NoSuchDigest, AmbiguousDigest, NoSuchEntry, NoSuchReceipt, NoSuchPush,
    │                             NotLocked, NoSuchRun, ReferenceGone, Deleted
    ├── ConflictError         4   DestinationExists, StoreExists, ForeignContents, NewerStore, SourceChanged,
    │                             InvalidSource, InvalidContent, BrokenSource, SourceTooLarge, PathCollision,
    │                             LockMismatch, LocalChanges,
    │                             PreconditionFailed, AliasMoved, StillLinked, NameTaken, IsCollection, NotACollection,
    │                             TypeMismatch, Denied, SweptMeanwhile, PushEnded, PartsMissing, PartLost,
    │                             ClockSkewed, ObjectLocked, UntrustedBackend, RunEnded, LineageCircle,
    │                             UploadAborted (SourceStalled), StoreClosed, PoolExhausted, DraftSaved,
    │                             ContentsDiffer, ReferenceChanged, ReferenceRefused, TooManyObjects
    ├── AccessError           5   KeyMissing, WrongKey, KeyExposed, KeyDamaged, CacheShared,
    │                             PermissionRefused
    ├── Damaged               6   RolledBack, HostileManifest, StillThere, InvalidEvidence
    └── BackendError          7   ObjectMissing, ObjectExists, ObjectTooLarge, TruncatedRead, StorageFull,
                                  Throttled, ConnectionLost, UntrustedServer
"""

from typing import ClassVar


class ArtifactStoreError(Exception):
    """The root of all errors of this project.

    Args:
        message: What happened, in one sentence, with the facts in it.
        next_step: What to do about it; the class's own advice when not given, which no class is without.
        facts: The same facts by name (which path, which object, expected, found), for `--json`.
    """

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    advice: ClassVar[str] = ""

    def __init__(self, message: str, *, next_step: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = self.advice if next_step is None else next_step
        self.facts = facts

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword facts, so that errors cross process pools whole."""
        return _rebuild, (type(self), self.message, self.next_step, self.facts)


def _rebuild(
    cls: type[ArtifactStoreError], message: str, next_step: str, facts: dict[str, object]
) -> ArtifactStoreError:
    return cls(message, next_step=next_step, **facts)


# --- 2: the request itself makes no sense -----------------------------------------------------------


class UsageError(ArtifactStoreError):
    """The request can't be meant as it stands."""

    kind = "usage"
    exit_code = 2
    advice = "see the --help of the command, or what the library says of its arguments"


class InvalidReference(UsageError):
    """A reference is not of the form project/name[:vN | :alias | @digest]."""

    kind = "invalid-reference"
    advice = "write project/name, project/name:v3, project/name:alias or project/name@digest"


class InvalidToken(UsageError):
    """What is given as the token of a distributed push is none, or one of another store."""

    kind = "invalid-token"
    advice = "copy the whole word that beginning the push printed"


class InvalidPart(UsageError):
    """There is no part of that number."""

    kind = "invalid-part"
    advice = "parts are numbered from 0: of eight, 0 to 7"


class InvalidName(UsageError):
    """A project, artifact, alias, tag or type name breaks the naming rules."""

    kind = "invalid-name"
    advice = "use letters, digits, '.', '_' and '-', starting with a letter or digit, at most 128 of them"


class InvalidMetadata(UsageError):
    """Metadata is not JSON, or larger than a version may carry."""

    kind = "invalid-metadata"
    advice = "write a JSON object within the bound, and push what is larger as a file"


class InvalidLock(UsageError):
    """A lock file can't be read as one, or names what none may name."""

    kind = "invalid-lock"
    advice = "take it as it was from git, or lock anew with `artifactstore lock REF --target DIR`"


class InvalidQuery(UsageError):
    """A where-expression can't be understood."""

    kind = "invalid-query"
    advice = "write it like: metadata.rows > 1000 and 'production' in aliases"


class InvalidURL(UsageError):
    """A URL can't be kept as a reference: it holds a secret, or is of a kind that nothing here reads."""

    kind = "invalid-url"
    advice = "write s3://, gs://, https:// or file:// without user, password or signature; keys are not kept"


class NotSaved(UsageError):
    """A draft was asked for what only a saved version has."""

    kind = "not-saved"
    advice = "save it: draft.save(store, project=...), store.push(draft, 'project/name') or run.log_artifact(draft)"


class Unsupported(UsageError):
    """The platform or an installed library lacks what this project needs."""

    kind = "unsupported"
    advice = "use CPython 3.11 or newer on Linux or macOS, and the libraries that pip installs with it"


class MissingExtra(UsageError):
    """An optional dependency is not installed."""

    kind = "missing-extra"
    advice = "install what it names with pip, for example: pip install 'artifactstore[s3]'"


# --- 3: what was named does not exist ----------------------------------------------------------------


class NotFoundError(ArtifactStoreError):
    """Something that was named does not exist."""

    kind = "not-found"
    exit_code = 3
    advice = "check the spelling of what was named"


class NoSuchPath(NotFoundError):
    """A path to push or read does not exist."""

    kind = "no-such-path"
    advice = "check the spelling of the path"


class NoSuchStore(NotFoundError):
    """There is no store at the URL."""

    kind = "no-such-store"
    advice = "create it with `artifactstore init URL`, or name another with --store"


class NoSuchProject(NotFoundError):
    """The store has no such project."""

    kind = "no-such-project"
    advice = "list the projects with `artifactstore ls`"


class NoSuchArtifact(NotFoundError):
    """The project has no such artifact."""

    kind = "no-such-artifact"
    advice = "list the artifacts of a project with `artifactstore ls PROJECT`"


class NoSuchVersion(NotFoundError):
    """The artifact has no such version, alias or digest."""

    kind = "no-such-version"
    advice = "list the versions with `artifactstore ls PROJECT/NAME`"


class NoSuchDigest(NoSuchVersion):
    """No version of the artifact has a digest that begins like this."""

    kind = "no-such-digest"


class AmbiguousDigest(NoSuchVersion):
    """Several versions of different content have digests that begin like this."""

    kind = "ambiguous-digest"
    advice = "give more digits of the digest"


class NoSuchEntry(NotFoundError):
    """The version holds no such path."""

    kind = "no-such-entry"
    advice = "list its paths with `artifactstore files REF`"


class ReferenceGone(NotFoundError):
    """There is nothing any more where a reference points."""

    kind = "reference-gone"
    advice = "bring it back, or pull without it (--no-references)"


class NoSuchReceipt(NotFoundError):
    """No receipt has an id that begins like this, or several have."""

    kind = "no-such-receipt"
    advice = "list the receipts with `artifactstore receipt list`"


class NoSuchPush(NotFoundError):
    """A token names no distributed push of this store, or one that ended long ago."""

    kind = "no-such-push"
    advice = "list those that are open: artifactstore distributed list"


class NotLocked(NotFoundError):
    """The lock file names no such target or artifact."""

    kind = "not-locked"
    advice = "see what it names with `artifactstore status`, or add it with `artifactstore lock REF`"


class NoSuchRun(NotFoundError):
    """No run has an id that begins like this, or several have."""

    kind = "no-such-run"
    advice = "list the runs with `artifactstore run list`"


class Deleted(NotFoundError):
    """The version was deleted and its content is gone."""

    kind = "deleted"
    advice = "see what can be brought back with `artifactstore ls PROJECT/NAME --deleted`"


# --- 4: refused, because of something that is in the way -----------------------------------------------


class ConflictError(ArtifactStoreError):
    """The state of a store, a destination or a source stands in the way."""

    kind = "conflict"
    exit_code = 4
    advice = "look at what is in the way, then repeat it"


class DestinationExists(ConflictError):
    """A pull would overwrite something."""

    kind = "destination-exists"
    advice = "choose another destination, or pass --overwrite"


class StoreExists(ConflictError):
    """There is a store at the URL already."""

    kind = "store-exists"
    advice = "open it instead, or choose another URL"


class ForeignContents(ConflictError):
    """The URL holds objects that are not a store's."""

    kind = "foreign-contents"
    advice = "choose an empty folder or prefix"


class NewerStore(ConflictError):
    """The store uses a format or a feature this release does not know."""

    kind = "newer-store"
    advice = "upgrade artifactstore"


class SourceChanged(ConflictError):
    """A file changed while it was read."""

    kind = "source-changed"
    advice = "push again when nothing writes to it; what was uploaded is not uploaded twice"


class InvalidSource(ConflictError):
    """A source can't be kept as an entry: a device, a FIFO, a name that no version may hold."""

    kind = "invalid-source"
    advice = "rename or exclude it (--exclude GLOB)"


class InvalidContent(ConflictError):
    """A file is not of the format that its name says, or has a header that is longer than it may be."""

    kind = "invalid-content"
    advice = "compare it without --deep, or look at it with a program of that format"


class BrokenSource(ConflictError):
    """What is to be imported is cut, altered, or not what it was said to be."""

    kind = "broken-source"
    advice = "make or fetch it again, then repeat it: no version was made of it"


class SourceTooLarge(ConflictError):
    """What is to be imported holds more, or unpacks to more, than was allowed."""

    kind = "source-too-large"
    advice = "if it is meant to be that large, allow it: --max-size SIZE"


class PathCollision(ConflictError):
    """Two sources would be one path, or differ by case or Unicode form only."""

    kind = "path-collision"
    advice = "rename or exclude one of them"


class LockMismatch(ConflictError):
    """The store holds another version than the lock file says, or is another store."""

    kind = "lock-mismatch"
    advice = (
        "name the store of the lock with --store; or find out who changed the lock, and lock the version anew"
    )


class LocalChanges(ConflictError):
    """A folder holds what is in no version, and making it as the lock says would destroy it."""

    kind = "local-changes"
    advice = "push or move what you want to keep; then repeat it with --overwrite for changed files, --clean for others"


class PreconditionFailed(ConflictError):
    """Another writer changed what this operation relied on."""

    kind = "precondition-failed"
    advice = "look at what is there now, then repeat it"


class AliasMoved(PreconditionFailed):
    """An alias does not stand where it was expected, so it was not moved."""

    kind = "alias-moved"
    advice = "look at the version that it is on now, then move it from there"


class StillLinked(PreconditionFailed):
    """A version is linked into a collection, so it was not deleted."""

    kind = "still-linked"
    advice = "unlink it first, or pass --force (force=True): what the link holds stays"


class NameTaken(ConflictError):
    """A project or an artifact has, or had, the name that another was to get."""

    kind = "name-taken"
    advice = "choose another name"


class IsCollection(ConflictError):
    """A collection takes links only, and no versions of its own."""

    kind = "is-a-collection"
    advice = "push into another artifact, then `artifactstore link` the version into the collection"


class NotACollection(ConflictError):
    """Links go into collections only, and what is no link can't be unlinked."""

    kind = "not-a-collection"
    advice = "link into a new name: the first link makes the collection"


class TypeMismatch(ConflictError):
    """A version can't be linked into a collection of another type."""

    kind = "type-mismatch"
    advice = "link it into a collection of its own type"


class SweptMeanwhile(PreconditionFailed):
    """Another sweep came between a plan and its own record."""

    kind = "swept-meanwhile"
    advice = "plan it anew: artifactstore gc"


class PushEnded(ConflictError):
    """A distributed push has ended, so that nothing more goes into it."""

    kind = "push-ended"
    advice = "begin another one"


class PartsMissing(ConflictError):
    """A distributed push can't commit before all of its parts are finished."""

    kind = "parts-missing"
    advice = "push those parts, then commit again"


class PartLost(ConflictError):
    """Something that a finished part of a distributed push holds can't be read any more."""

    kind = "part-lost"
    advice = "push those parts again, then commit again"


class DraftSaved(ConflictError):
    """A draft is saved already, so it can neither be changed nor saved again."""

    kind = "draft-saved"
    advice = "make a draft of it with new_draft(), change that, and save it"


class ContentsDiffer(ConflictError):
    """A folder does not hold what a version does."""

    kind = "contents-differ"
    advice = "pull the version again with --overwrite, or see what differs with `artifactstore diff REF PATH`"


class ReferenceChanged(ConflictError):
    """What a reference points at is not what it was when the reference was added."""

    kind = "reference-changed"
    advice = "pull without it (--no-references), or push a version with the reference added again"


class ReferenceRefused(ConflictError):
    """A reference points at a local file or a private address, and nobody said that it may be fetched."""

    kind = "reference-refused"
    advice = "if you trust who pushed it, allow what begins like its URL; or leave references out (--no-references)"


class TooManyObjects(ConflictError):
    """A folder or prefix that was to be referenced holds more objects than it may."""

    kind = "too-many-objects"
    advice = "name a smaller prefix, or raise the bound (max_objects, --max-objects)"


class ClockSkewed(ConflictError):
    """This machine's clock and the backend's are too far apart for what depends on ages."""

    kind = "clock-skewed"
    advice = "set this machine's clock; if it is the backend's that is wrong, pass --trust-clock"


class ObjectLocked(ConflictError):
    """The backend keeps an object from being deleted for now."""

    kind = "object-locked"
    advice = "wait until the lock ends, then run `artifactstore gc --resume`"


class Denied(ConflictError):
    """A file was taken down, and the store takes it no more."""

    kind = "denied"
    advice = (
        "leave the file out; if it may be kept again, lift the ban with `artifactstore takedown --allow FILE`"
    )


class RunEnded(ConflictError):
    """A run has ended already, so it can't be finished again, and uses and produces nothing more."""

    kind = "run-ended"
    advice = "start another run; what this one used and produced stays as it is"


class LineageCircle(ConflictError):
    """A version came of the very run that would use it, or a run of the very version that it would produce."""

    kind = "lineage-circle"
    advice = "let another run do the second step; lineage never goes round in a circle"


class UntrustedBackend(ConflictError):
    """The backend lets two writers create one object, so a store on it could lose data."""

    kind = "untrusted-backend"
    advice = "use a backend with exclusive create, or open it with single_writer=True and only one writer"


class UploadAborted(ConflictError):
    """An upload was given up, or one of its files came half; it made no version."""

    kind = "upload-aborted"
    advice = "begin the upload anew"


class SourceStalled(UploadAborted):
    """A stream that is pushed gave nothing for longer than its reader was told to wait."""

    kind = "source-stalled"
    advice = "send it again, or give it more time with stall_s"


class StoreClosed(ConflictError):
    """A store, or a pool of stores, is used after it was closed."""

    kind = "store-closed"
    advice = "open it again"


class PoolExhausted(ConflictError):
    """All stores that a pool may have open are in use, or all operations that may run at once do run."""

    kind = "pool-exhausted"
    advice = "try again, or raise the bound"


# --- 5: keys and permissions ----------------------------------------------------------------------------


class AccessError(ArtifactStoreError):
    """A key or a permission is missing."""

    kind = "access"
    exit_code = 5
    advice = "see what is missing with `artifactstore doctor`"


class KeyMissing(AccessError):
    """There is no key to unlock the store with."""

    kind = "key-missing"
    advice = "restore your key file with `artifactstore key restore BACKUP`, or name it with --key-file"


class WrongKey(AccessError):
    """The key or passphrase opens no slot of this store."""

    kind = "wrong-key"
    advice = "use a key that has a slot, or ask a member to add yours: `artifactstore key request` prints what to send"


class KeyExposed(AccessError):
    """The key file can be read by other users."""

    kind = "key-exposed"
    advice = "chmod 600 the key file, and think about who may have read it"


class KeyDamaged(AccessError):
    """The key file is not one, or was cut or altered."""

    kind = "key-damaged"
    advice = "restore it from your backup with `artifactstore key restore BACKUP`"


class CacheShared(AccessError):
    """The cache directory is another user's, or others may write to it; its index names files in clear."""

    kind = "cache-shared"
    advice = "set ARTIFACTSTORE_CACHE_DIR to a folder of your own, or take it from the others (chmod go-w)"


class PermissionRefused(AccessError):
    """The operating system or the backend refused access."""

    kind = "permission-refused"
    advice = "ask who owns it for access, or choose another place"


# --- 6: stored bytes are not what they must be -------------------------------------------------------------


class Damaged(ArtifactStoreError):
    """An object is missing, cut, altered, swapped or of another store."""

    kind = "damaged"
    exit_code = 6
    advice = "run `artifactstore check --read-data` to see what else is damaged, and push the content again"


class RolledBack(Damaged):
    """The log is shorter than, or differs from, what this client has seen."""

    kind = "rolled-back"
    advice = "find out who set the store back; `artifactstore adopt` shows what is lost, and goes on with what is there"


class HostileManifest(Damaged):
    """A manifest holds a path or size that no honest writer produces."""

    kind = "hostile-manifest"
    advice = "do not use this version; ask who pushed it"


class StillThere(Damaged):
    """An object that was given up for deletion is there, although a record says that it is gone."""

    kind = "still-there"
    advice = "whoever has a key deletes it again with `artifactstore gc`"


class InvalidEvidence(Damaged):
    """A receipt or a checkpoint is cut, altered, or of another store or log."""

    kind = "invalid-evidence"
    advice = "don't rely on it; ask whoever gave it to you for another, and tell them why"


# --- 7: the backend or a disk failed ---------------------------------------------------------------------------


class BackendError(ArtifactStoreError):
    """A backend or a local disk did not do what was asked."""

    kind = "backend"
    exit_code = 7
    advice = "try again; what was uploaded is not uploaded twice"


class ObjectMissing(BackendError):
    """There is no object of that name."""

    kind = "object-missing"


class ObjectExists(BackendError):
    """An exclusive create was refused: the name is taken."""

    kind = "object-exists"


class ObjectTooLarge(BackendError):
    """An object is longer than the reader's bound."""

    kind = "object-too-large"


class TruncatedRead(BackendError):
    """Fewer bytes came back than the range holds."""

    kind = "truncated-read"


class StorageFull(BackendError):
    """No space is left, on the backend or on a local disk."""

    kind = "storage-full"
    advice = "free some space and repeat; what was uploaded is not uploaded twice"


class Throttled(BackendError):
    """The backend asks for fewer requests."""

    kind = "throttled"


class ConnectionLost(BackendError):
    """The backend can't be reached, or an answer was lost."""

    kind = "connection-lost"
    advice = "check the network and the URL, then try again; what was uploaded is not uploaded twice"


class UntrustedServer(BackendError):
    """The server's certificate is of no authority that this client trusts."""

    kind = "untrusted-server"
    advice = "if it is of a private authority, name its file: --storage-option ca=FILE"
