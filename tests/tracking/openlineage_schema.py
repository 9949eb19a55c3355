"""A JSON schema of OpenLineage run events and of the facets used here, written from its specification 2-0-2.

The published files are not shipped by any package of the index; this one is stricter than they are, in that it takes no
property and no facet that is not named here.
"""

from typing import Any

URI = {"type": "string", "format": "uri", "pattern": "^[a-z][a-z0-9+.-]*:"}
TEXT = {"type": "string", "minLength": 1}
TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
}
UUID = {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"}


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = required | (optional or {})
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def facet(name: str, required: dict[str, Any]) -> dict[str, Any]:
    schema = URI | {"pattern": rf"^https://openlineage\.io/spec/facets/\d-\d-\d/{name}\.json#/\$defs/{name}$"}
    return closed({"_producer": URI, "_schemaURL": schema, **required})


DATASET = closed(
    {"namespace": TEXT, "name": TEXT},
    {
        "facets": closed(
            {},
            {
                "version": facet("DatasetVersionDatasetFacet", {"datasetVersion": TEXT}),
                "lifecycleStateChange": facet(
                    "LifecycleStateChangeDatasetFacet",
                    {
                        "lifecycleStateChange": {
                            "enum": ["ALTER", "CREATE", "DROP", "OVERWRITE", "RENAME", "TRUNCATE"]
                        }
                    },
                ),
            },
        )
    },
)
RUN_EVENT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **closed(
        {
            "eventTime": TIME,
            "producer": URI,
            "schemaURL": URI
            | {"pattern": r"^https://openlineage\.io/spec/2-0-2/OpenLineage\.json#/\$defs/RunEvent$"},
            "run": closed({"runId": UUID}, {"facets": closed({})}),
            "job": closed(
                {"namespace": TEXT, "name": TEXT},
                {
                    "facets": closed(
                        {},
                        {
                            "jobType": facet(
                                "JobTypeJobFacet",
                                {"processingType": TEXT, "integration": TEXT, "jobType": {"type": "string"}},
                            )
                        },
                    )
                },
            ),
        },
        {
            "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
            "inputs": {"type": "array", "items": DATASET},
            "outputs": {"type": "array", "items": DATASET},
        },
    ),
}
