"""A schedule that fails, told so that a person can follow it, and made as small as it can be while it still fails."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, TypeVar

import msgspec

from artifactstore.testing.ledger import Checked, Collected, Outcome
from artifactstore.testing.schedule import Fate, Schedule
from artifactstore.testing.scheduler import Author, Event
from artifactstore.testing.stage import Played

T = TypeVar("T")

_NUMBERS: Final = re.compile(r"[0-9]+")
_CHANGES: Final = frozenset({"create", "put", "delete", "erase"})
_DIGEST_CHARACTERS: Final = 64
_NAME_CHARACTERS: Final = 8
_TRIES_MAX: Final = 400


def tell(played: Played) -> str:
    """The story of a schedule: who did what, what went wrong, and what does not hold in the end."""
    schedule = played.schedule
    lines = [f"seed {schedule.seed}: {len(schedule.scripts)} clients, {len(played.events)} operations"]
    lines += [f"  client {client} begins without an index" for client in sorted(schedule.newcomers)]
    if schedule.sharing:
        lines.append(f"  client {len(schedule.scripts) - 1} works on the index of client 0")
    outcomes = {outcome.author: outcome for outcome in played.outcomes}
    begun: set[Author] = set()
    last = {event.author: event.number for event in played.events if not event.late}
    for author, events in groupby(played.events, key=lambda event: event.author):
        group = list(events)
        if author not in begun and not group[0].late:
            begun.add(author)
            lines.append(f"client {author.client} begins: {schedule.scripts[author.client][author.step]}")
        lines += _operations(group)
        if group[-1].number == last.get(author) and author in outcomes:
            lines.append(f"client {author.client} ends: {_ending(outcomes[author])}")
    lines.append(f"BROKEN: {played.broken}" if played.broken else "everything holds")
    return "\n".join(lines)


def shrink(schedule: Schedule, play: Callable[[Schedule], Played]) -> Played:
    """Leave out of a failing schedule whatever it fails without, in the same way; return the last one that failed.

    Args:
        schedule: It fails.
        play: Plays one.
    """
    smallest = play(schedule)
    tries = 0
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(smallest):
            tries += 1
            if tries > _TRIES_MAX:
                return smallest
            played = play(smaller)
            if _way(played) == _way(smallest):
                smallest, progress = played, True
                break
    return smallest


def _way(played: Played) -> str:
    """In which way something does not hold, whatever the slots and clients."""
    return _NUMBERS.sub("", played.broken.partition(":")[0])


def _smaller(played: Played) -> Iterator[Schedule]:
    """Schedules with something less, those that leave out most first."""
    schedule = played.schedule
    replace = msgspec.structs.replace
    used = tuple(turn for at, turn in enumerate(schedule.turns) if at in played.used)
    if len(used) < len(schedule.turns):
        yield replace(schedule, turns=used)
    if len(played.hit) < len(schedule.faults):
        yield replace(schedule, faults=played.hit)
    for turns in _without(schedule.turns):
        yield replace(schedule, turns=turns)
    for faults in _without(schedule.faults):
        yield replace(schedule, faults=faults)
    for client, script in enumerate(schedule.scripts):
        for steps in _without(script):
            scripts = (*schedule.scripts[:client], steps, *schedule.scripts[client + 1 :])
            yield replace(schedule, scripts=scripts)
    for client in schedule.newcomers:
        yield replace(schedule, newcomers=schedule.newcomers - {client})
    for field in ("sharing", "patient"):
        if getattr(schedule, field):
            yield replace(schedule, **{field: False})


def _without(parts: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """All that is left when a half, a quarter and so on, down to one part is left out."""
    size = len(parts)
    while size:
        for start in range(0, len(parts), size):
            yield (*parts[:start], *parts[start + size :])
        size //= 2


def _operations(events: Sequence[Event]) -> Iterator[str]:
    """One line for each operation that changes something or meets with something; one for all others between."""
    read = 0
    for event in events:
        if event.method not in _CHANGES and event.fate is None:
            read += 1
            continue
        if read:
            yield f"  {events[0].author.client}: reads {read} times"
            read = 0
        yield f"  {event.author.client}: {_words(event)}"
    if read:
        yield f"  {events[0].author.client}: reads {read} times"


def _words(event: Event) -> str:
    words = f"[{event.number}] {event.method} {_short(event.name)}"
    if event.late:
        words += " arrives, an hour late"
    if event.said != "ok":
        words += f": {event.said}"
    if event.fate is not None:
        words += (
            f" {event.fate.value}" if event.fate is not Fate.JUMP else " finds its client's clock elsewhere"
        )
    return words


def _short(name: str) -> str:
    folder, _, last = name.rpartition("/")
    if len(last) == _DIGEST_CHARACTERS:
        return f"{folder.partition('/')[0]}/{last[:_NAME_CHARACTERS]}"
    return f"log/{int(last)}" if folder == "log" else name


def _ending(outcome: Outcome) -> str:
    if outcome.died:
        return "it is dead"
    if outcome.error is not None:
        return f"it failed: {outcome.error}"
    result = outcome.result
    if result is None:
        return "done"
    if isinstance(result, Collected):
        return (
            "nothing to sweep" if result.slot is None else f"sweep {result.slot} purged {list(result.purged)}"
        )
    if isinstance(result, Checked):
        return f"it found {list(result.problems)}"
    made = getattr(result, "created", None)
    return f"v{result.number}" + ("" if made is None else " is new" if made else " was there")
