"""All classes that a store stands on."""

from artifactstore.deferred import Grown
from artifactstore.store.choosing import Choosing
from artifactstore.store.comparing import Comparing
from artifactstore.store.distributing import Distributing
from artifactstore.store.drafting import Drafting
from artifactstore.store.keeping import Keeping
from artifactstore.store.measuring import Measuring
from artifactstore.store.referring import Referring
from artifactstore.store.running import Running
from artifactstore.store.takingdown import TakingDown
from artifactstore.store.upkeep import Upkeep
from artifactstore.store.uploading import Uploading


class Whole(
    Uploading,
    Distributing,
    Drafting,
    Referring,
    TakingDown,
    Keeping,
    Measuring,
    Upkeep,
    Comparing,
    Choosing,
    Running,
    Grown,
):
    """What a store can do."""
