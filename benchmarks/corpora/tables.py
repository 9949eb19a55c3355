"""A table series as CSV and Parquet: four versions with rows appended, deleted, inserted and changed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

SEED = 20_07
ROWS = 2_400_000
_STATES = ["new", "paid", "packed", "shipped", "delivered", "returned", "cancelled"]
_SYLLABLES = [consonant + vowel for consonant in "bdklmr" for vowel in "aeiou"]


def make(folder: Path, work: Path, scale: float) -> None:
    """Write v0 … v3, each with orders.csv and orders.parquet.

    v1 appends 3 %; v2 deletes 200 runs of rows, inserts 200 elsewhere and appends 3 %; v3 changes the state
    of a tenth of the newest tenth, deletes 100 runs and appends 3 %.
    """
    del work
    rng = np.random.Generator(np.random.PCG64(SEED))
    rows = max(10_000, int(ROWS * scale))
    growth = rows * 3 // 100
    runs = max(2, rows // 12_000)
    pool = _table(rng, rows + 3 * growth + rows // 50)
    inserted = np.arange(rows + 3 * growth, len(pool))
    v0 = np.arange(rows)
    v1 = np.concatenate([v0, np.arange(rows, rows + growth)])
    v2 = _insert_runs(_delete_runs(v1, rng, runs=runs), inserted, rng, runs=runs)
    v2 = np.concatenate([v2, np.arange(rows + growth, rows + 2 * growth)])
    v3 = _delete_runs(v2, rng, runs=runs // 2)
    v3 = np.concatenate([v3, np.arange(rows + 2 * growth, rows + 3 * growth)])
    for number, indices in enumerate([v0, v1, v2, v3]):
        table = pool.take(pa.array(indices))
        _save(folder / f"v{number}", _with_changed_states(table, rng) if number == 3 else table)


def _table(rng: np.random.Generator, rows: int) -> pa.Table:
    start = 1_700_000_000
    seconds = start + np.cumsum(rng.integers(0, 12, rows))
    words = ["".join(rng.choice(_SYLLABLES, rng.integers(2, 5))) for _ in range(3000)]
    cities = pa.array([word.title() for word in words[:400]])
    return pa.table(
        {
            "id": np.arange(1, rows + 1) * 3 + rng.integers(0, 3, rows),
            "created": pa.array(seconds, pa.timestamp("s")),
            "customer": (rng.pareto(1.1, rows) * 40).astype(np.int64) % 900_000 + 10_000,
            "city": cities.take(pa.array((rng.pareto(1.0, rows) * 6).astype(np.int64) % 400)),
            "state": pa.array(_STATES).take(pa.array(rng.integers(0, len(_STATES), rows))),
            "quantity": rng.geometric(0.4, rows),
            "price": np.round(rng.lognormal(3.2, 0.9, rows), 2),
            "weight": np.round(rng.gamma(2.0, 1.7, rows), 4),
            "comment": _comments(rng, rows, words),
        }
    )


def _comments(rng: np.random.Generator, rows: int, words: list[str]) -> pa.Array:
    """Most orders have none; the others have two to nine words, common words more often."""
    counts = np.where(rng.random(rows) < 0.4, rng.integers(2, 10, rows), 0)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    chosen = (rng.pareto(0.9, offsets[-1]) * 20).astype(np.int64) % len(words)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(words).take(pa.array(chosen)))
    return pc.binary_join(lists, " ")


def _delete_runs(indices: np.ndarray, rng: np.random.Generator, *, runs: int) -> np.ndarray:
    keep = np.ones(len(indices), dtype=bool)
    for start in rng.integers(0, len(indices), runs):
        keep[start : start + rng.integers(1, 60)] = False
    return indices[keep]


def _insert_runs(
    indices: np.ndarray, inserted: np.ndarray, rng: np.random.Generator, *, runs: int
) -> np.ndarray:
    places = np.sort(rng.integers(0, len(indices), runs))
    lengths = rng.integers(1, 60, runs)
    parts, taken = [], 0
    for start, place, length in zip([0, *places[:-1]], places, lengths, strict=True):
        parts += [indices[start:place], inserted[taken : taken + length]]
        taken += length
    return np.concatenate([*parts, indices[places[-1] :]])


def _with_changed_states(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    chosen = rng.random(len(table)) < 0.1
    chosen[: len(table) * 9 // 10] = False
    states = pc.if_else(pa.array(chosen), "delivered", table["state"])
    return table.set_column(table.schema.get_field_index("state"), "state", states)


def _save(folder: Path, table: pa.Table) -> None:
    folder.mkdir()
    pyarrow.csv.write_csv(table, folder / "orders.csv")
    pq.write_table(table, folder / "orders.parquet", row_group_size=131_072)
