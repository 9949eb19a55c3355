"""Operations of runs: one execution of a program that uses versions and produces others.

They are sealed in records as all operations are (`operations`). What a run produced is said by the push itself.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from artifactstore.format.coding import Bytes16, Name, Number
from artifactstore.format.limits import RUN_TAGS_MAX, RUN_TEXT_CHARACTERS_MAX

End: TypeAlias = Literal["finished", "failed", "killed"]
RUNNING: Final = "running"
FINISHED: Final = "finished"
FAILED: Final = "failed"
KILLED: Final = "killed"

_Text: TypeAlias = Annotated[str, Meta(max_length=RUN_TEXT_CHARACTERS_MAX)]
_Tags: TypeAlias = Annotated[list[Name], Meta(max_length=RUN_TAGS_MAX)]
_Commit: TypeAlias = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")]


class RunStarted(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="run-started"):
    """A run begins.

    Attributes:
        run: Its random id.
        project: The project it belongs to.
        name: What it is called.
        job_type: What kind of work it does; may be empty.
        group: What it belongs together with; may be empty.
        tags: Labels.
        config: A JSON object: what it was started with.
        commit: The Git commit of its code; None where that is not known or not told.
        host: A JSON object: where it runs; None unless that was asked for.
        beats: Whether it gives signs of life until it finishes.
    """

    run: Bytes16
    project: Name
    name: _Text
    job_type: _Text
    group: _Text
    tags: _Tags
    config: dict[str, Any]
    commit: _Commit | None
    host: dict[str, Any] | None
    beats: bool


class RunUpdated(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="run-updated"):
    """Say something anew of a run; None keeps what was said.

    Attributes:
        run: The run.
        name: What it is called.
        tags: All its labels.
        config: The whole of its configuration.
    """

    run: Bytes16
    name: _Text | None
    tags: _Tags | None
    config: dict[str, Any] | None


class RunFinished(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="run-finished"):
    """A run has ended.

    Attributes:
        run: The run.
        state: How: `finished`, `failed` or `killed`.
    """

    run: Bytes16
    state: End


class RunDeleted(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="run-deleted"):
    """Forget what was said of a run; what it used and produced stays known, by its id alone."""

    run: Bytes16


class Used(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="used"):
    """A run uses a version.

    Attributes:
        run: The run.
        project: The project's name.
        name: The artifact's name.
        number: The version.
        role: What for, in the run's own words; may be empty.
    """

    run: Bytes16
    project: Name
    name: Name
    number: Number
    role: _Text


RunOperation: TypeAlias = RunStarted | RunUpdated | RunFinished | RunDeleted | Used
