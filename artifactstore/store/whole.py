"""All classes that a store stands on."""

from artifactstore.client.referring import Referring
from artifactstore.deferred import Grown
from artifactstore.deletion.keeping import Keeping
from artifactstore.deletion.measuring import Measuring
from artifactstore.deletion.takingdown import TakingDown
from artifactstore.distribution.distributing import Distributing
from artifactstore.distribution.uploading import Uploading
from artifactstore.drafts.drafting import Drafting
from artifactstore.runs.running import Running
from artifactstore.store.choosing import Choosing
from artifactstore.store.comparing import Comparing
from artifactstore.store.upkeep import Upkeep


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
