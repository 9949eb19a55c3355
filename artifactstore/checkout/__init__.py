"""Lock files: which versions belong to which folders, kept in git beside the code that works with them."""

from artifactstore.checkout.lock import Lock, LockCheck, LockMove
from artifactstore.checkout.lockfile import LOCK_FILE, LockedTarget, find_lock_file
from artifactstore.checkout.restoring import Restored, RestorePlan
from artifactstore.checkout.status import TargetStatus

__all__ = [
    "LOCK_FILE",
    "Lock",
    "LockCheck",
    "LockMove",
    "LockedTarget",
    "RestorePlan",
    "Restored",
    "TargetStatus",
    "find_lock_file",
]
