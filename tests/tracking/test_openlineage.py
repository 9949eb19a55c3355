"""OpenLineage events: valid by a schema written from the specification, one for each beginning and each end."""

import uuid

import jsonschema
import pytest

from tests.tracking.lineages import MODEL, STORE, lineage, run, version
from tests.tracking.openlineage_schema import RUN_EVENT


def test_events_are_valid() -> None:
    """Of runs that ended and that go on, with versions that are gone."""
    events = MODEL.to_openlineage()
    validator = jsonschema.Draft202012Validator(RUN_EVENT, format_checker=jsonschema.FormatChecker())
    validator.check_schema(RUN_EVENT)
    for event in events:
        validator.validate(event)
    assert [(event["eventType"], event["eventTime"]) for event in events] == [
        ("START", "1970-01-01T00:00:02.000+00:00"),
        ("START", "1970-01-01T00:00:02.000+00:00"),
        ("COMPLETE", "1970-01-01T00:00:03.500+00:00"),
    ]


def test_datasets_are_versions() -> None:
    """A run's inputs and outputs, those that are gone without their names."""
    event = MODEL.to_openlineage()[2]
    assert event["run"]["runId"] == str(uuid.UUID(hex="1" * 32))
    assert (event["job"]["namespace"], event["job"]["name"]) == (f"artifactstore://{STORE}", "p/fit")
    assert [
        (one["name"], one["facets"]["version"]["datasetVersion"], "lifecycleStateChange" in one["facets"])
        for one in event["inputs"]
    ] == [("p/data", "v0", False), ("deleted-0123456789ab", "v0", True)]
    assert [one["name"] for one in event["outputs"]] == ["p/model"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [("finished", "COMPLETE"), ("failed", "FAIL"), ("killed", "ABORT"), ("deleted", "OTHER")],
)
def test_each_end_has_its_event(state: str, expected: str) -> None:
    """A run that was killed is aborted, as OpenLineage calls it."""
    events = lineage(run("1", 0, state=state), version("p/n:v0", 1), edges=[(0, 1, "")]).to_openlineage()
    assert [event["eventType"] for event in events] == ["START", expected]
