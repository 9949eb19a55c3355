"""What a child of a fork makes anew: a lock that another thread held then has nobody left there to free it."""

import os
import threading
import weakref
from typing import Protocol


class Owner(Protocol):
    """What holds locks, and what they guard, for longer than one operation."""

    def renew(self) -> None:
        """In a child: make the locks anew, and drop what a thread may have been changing."""
        ...


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()
_lock = threading.Lock()


def renewed_in_children(owner: Owner) -> None:
    """Have `owner.renew` called in every child of this process, for as long as the owner lives."""
    with _lock:
        _owners.add(owner)


def _renew() -> None:
    for owner in list(_owners):
        owner.renew()
    _lock.release()


os.register_at_fork(before=_lock.acquire, after_in_child=_renew, after_in_parent=_lock.release)
