"""Transactions on an index: thin above LMDB's, as every chunk of a push is looked up through them."""

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, NoReturn

import lmdb

from artifactstore.index.mapped import MappedIndex


class _Refusal:
    """Stands in for LMDB's transaction where there is none: whatever is asked of it raises."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def get(self, *_args: object, **_named: object) -> NoReturn:
        raise RuntimeError(self._reason)

    def __getattr__(self, name: str) -> Any:
        return self.get


_NOT_RUNNING = _Refusal("a transaction is used within its `with` block only")
_FORKED = _Refusal("a transaction does not survive a fork: begin one in the child")


class ReadTransaction:
    """A consistent view of all tables, for one `with` block of one thread.

    `get` costs one dictionary lookup above LMDB's own; `getter` not even that. Errors that LMDB raises in the
    block leave it as `IndexBroken` or as one of `errors`.
    """

    __slots__ = ("__weakref__", "_buffers", "_get", "_shared", "_tables", "_txn")

    def __init__(self, shared: MappedIndex, *, buffers: bool = False) -> None:
        self._shared = shared
        self._buffers = buffers
        self._tables = shared.tables
        self._txn: Any = _NOT_RUNNING
        self._get: Callable[..., bytes | None] = _NOT_RUNNING.get

    def __enter__(self) -> "ReadTransaction":
        self._begin(write=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error, commit=False)

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        return self._get(key, db=self._tables[table])

    def getter(self, table: str) -> Callable[[bytes], bytes | None]:
        """LMDB's own `get` bound to a table, for loops; not to be kept beyond the block."""
        return functools.partial(self._get, db=self._tables[table])

    def get_many(self, table: str, keys: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """The rows that exist among `keys`, in their order; half the time of single gets when sorted."""
        rows: list[tuple[bytes, bytes]] = self._cursor(table).getmulti(keys)
        return rows

    def scan(
        self, table: str, prefix: bytes = b"", *, start: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The rows whose key begins with `prefix`, by key, from `start` on; or from the last to the first."""
        cursor = self._cursor(table)
        if reverse:
            end = _after(prefix)
            found = cursor.last() if end is None or not cursor.set_range(end) else cursor.prev()
            rows = cursor.iterprev() if found else iter(())
        else:
            first = max(prefix, start)
            found = cursor.set_range(first) if first else cursor.first()
            rows = cursor.iternext() if found else iter(())
            if not prefix:
                # A table from some key on to its end: a million rows without a test of each.
                yield from rows
                return
        size = len(prefix)
        for row in rows:
            if row[0][:size] != prefix or (reverse and bytes(row[0]) < start):
                return
            yield row

    def rows_after(self, table: str) -> Callable[[bytes], list[tuple[bytes, bytes]]]:
        """A function, for loops, that gives what follows a prefix in each key that begins with it, and the value.

        It moves one cursor, which a walk over a hundred thousand short ranges notices; not to be kept beyond the block.
        """
        cursor = self._cursor(table)
        seek, rows_from = cursor.set_range, cursor.iternext

        def rows(prefix: bytes) -> list[tuple[bytes, bytes]]:
            found: list[tuple[bytes, bytes]] = []
            if seek(prefix):
                size = len(prefix)
                for key, value in rows_from():
                    if key[:size] != prefix:
                        break
                    found.append((key[size:], value))
            return found

        return rows

    def count(self, table: str) -> int:
        """The number of rows of a table."""
        entries: int = self._txn.stat(self._tables[table])["entries"]
        return entries

    def _cursor(self, table: str) -> Any:
        return self._txn.cursor(self._tables[table])

    def _begin(self, *, write: bool) -> None:
        self._txn = self._shared.begin(self, write=write, buffers=self._buffers)
        self._tables = self._shared.tables
        self._get = self._txn.get

    def _end(self, error: BaseException | None, *, commit: bool) -> None:
        txn, self._txn, self._get = self._txn, _NOT_RUNNING, _NOT_RUNNING.get
        if isinstance(txn, _Refusal):
            # Forked in the middle: the transaction is the parent's to end.
            if commit:
                txn.get()
            return
        try:
            if commit:
                self._commit(txn)
            else:
                txn.abort()
        finally:
            self._shared.ended(self)
        if isinstance(error, lmdb.Error):
            named = self._shared.named(error)
            if named is not error:
                raise named from error

    def _commit(self, txn: Any) -> None:
        try:
            txn.commit()
        except lmdb.Error as error:
            raise self._shared.named(error) from error
        self._shared.lengthen_file()

    def forsake(self) -> Callable[[], object]:
        """In a forked child: let go of the parent's transaction without ending it.

        Returns:
            A function that tells whether anything in this process still holds it.
        """
        txn, self._txn, self._get = self._txn, _FORKED, _FORKED.get
        # One that was only about to begin waits in LMDB on a thread that this process does not have.
        return (lambda: True) if isinstance(txn, _Refusal) else weakref.ref(txn)


class WriteTransaction(ReadTransaction):
    """The one writer of an index at a time, of all processes; for one `with` block of one thread.

    It commits, durably, when the block ends and is undone when the block raises. Pages that it touches are
    memory of this process until then, so a transaction touches a bounded number of rows.
    """

    __slots__ = ("_given_up",)

    def __enter__(self) -> "WriteTransaction":
        self._given_up = False
        self._begin(write=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error, commit=error is None and not self._given_up)

    def give_up(self) -> None:
        """Undo everything when the block ends: what was done was only to be looked at."""
        self._given_up = True

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Set the value of `key`."""
        self._txn.put(key, value, db=self._tables[table])

    def putter(self, table: str) -> Callable[[bytes, bytes], object]:
        """LMDB's own `put` bound to a table, for loops; not to be kept beyond the block."""
        return functools.partial(self._txn.put, db=self._tables[table])

    def put_many(self, table: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Set many rows: several times faster than single puts when they are sorted by key."""
        self._cursor(table).putmulti(rows)

    def delete(self, table: str, key: bytes) -> bool:
        """Remove `key`; return whether it was there."""
        found: bool = self._txn.delete(key, db=self._tables[table])
        return found

    def delete_many(self, table: str, keys: Iterable[bytes]) -> int:
        """Remove many keys; return how many of them were there."""
        delete, db = self._txn.delete, self._tables[table]
        return sum(delete(key, db=db) for key in keys)

    def clear(self, table: str) -> None:
        """Remove every row of a table."""
        self._txn.drop(self._tables[table], delete=False)


def _after(prefix: bytes) -> bytes | None:
    """The least key above every key that begins with `prefix`, or None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
