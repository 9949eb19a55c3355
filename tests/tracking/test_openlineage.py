"""OpenLineage events: valid by a schema and by the published classes, one for each beginning and each end."""

import uuid
from typing import Any

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


def facets(said: dict[str, Any]) -> dict[str, Any]:
    """The published class of each facet, which checks what is given to it."""
    facet_v2 = pytest.importorskip("openlineage.client.facet_v2")
    classes = {
        "jobType": facet_v2.job_type_job.JobTypeJobFacet,
        "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
        "lifecycleStateChange": facet_v2.lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet,
    }
    made = {}
    for name, fields in said.items():
        known = {field: value for field, value in fields.items() if not field.startswith("_")}
        made[name] = classes[name](**known, producer=fields["_producer"])
    return made


def as_published(event: dict[str, Any]) -> dict[str, Any]:
    """The event as OpenLineage's own client makes it of what ours says."""
    event_v2 = pytest.importorskip("openlineage.client.event_v2")
    serde = pytest.importorskip("openlineage.client.serde")

    def datasets(kind: Any, said: list[dict[str, Any]]) -> list[Any]:
        return [kind(**one | {"facets": facets(one["facets"])}) for one in said]

    made = event_v2.RunEvent(
        eventType=event_v2.RunState(event["eventType"]),
        eventTime=event["eventTime"],
        run=event_v2.Run(**event["run"]),
        job=event_v2.Job(**event["job"] | {"facets": facets(event["job"]["facets"])}),
        inputs=datasets(event_v2.InputDataset, event["inputs"]),
        outputs=datasets(event_v2.OutputDataset, event["outputs"]),
        producer=event["producer"],
    )
    found: dict[str, Any] = serde.Serde.to_dict(made)
    return found


def without_empty(said: Any) -> Any:
    """Their client leaves out what is empty."""
    if isinstance(said, dict):
        kept = {key: without_empty(value) for key, value in said.items()}
        return {key: value for key, value in kept.items() if value not in ({}, [], None)}
    return [without_empty(one) for one in said] if isinstance(said, list) else said


def test_their_client_says_the_same() -> None:
    """Made of the classes that come of the published schemas, each event is the same, down to the schemas' URLs."""
    for event in MODEL.to_openlineage():
        assert without_empty(as_published(event)) == without_empty(event)


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
