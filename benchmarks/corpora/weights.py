"""A family of weights: one base and three fine-tunes of it, each in bf16 and fp32, in safetensors' layout.

The values are drawn per row from a normal distribution whose spread is itself log-normal, with a few large
columns, as trained transformers have them. The fine-tunes touch what fine-tunes touch:

- v1 trains the last layers and freezes the rest;
- v2 merges a low-rank update into the query and value projections of every layer;
- v3 adds tokens to the vocabulary and trains the last half.
"""

import json
import struct
from pathlib import Path

import numpy as np

SEED = 20_06
LAYERS = 8
HIDDEN = 512
FEED_FORWARD = 1536
VOCABULARY = 8192

Weights = dict[str, np.ndarray]


def make(folder: Path, work: Path, scale: float) -> None:
    """Write v0 … v3, each with model-bf16.safetensors and model-fp32.safetensors (189 MB a version)."""
    del work
    layers = max(2, round(LAYERS * scale))
    rng = np.random.Generator(np.random.PCG64(SEED))
    base = _base(rng, layers, max(512, int(VOCABULARY * scale)))
    _save(folder / "v0", base)
    _save(folder / "v1", _trained(base, rng, first_layer=layers - max(1, layers * 3 // 8), relative=0.01))
    _save(folder / "v2", _low_rank_merged(base, rng, rank=16))
    wider = dict(base)
    wider["embed"] = np.concatenate([base["embed"], _matrix(rng, 256, HIDDEN)])
    _save(folder / "v3", _trained(wider, rng, first_layer=layers // 2, relative=0.02))


def _base(rng: np.random.Generator, layers: int, vocabulary: int) -> Weights:
    weights = {"embed": _matrix(rng, vocabulary, HIDDEN)}
    for layer in range(layers):
        prefix = f"layers.{layer:02d}"
        for name in "qkvo":
            weights[f"{prefix}.attention.{name}"] = _matrix(rng, HIDDEN, HIDDEN)
        for name, shape in {"up": (FEED_FORWARD, HIDDEN), "gate": (FEED_FORWARD, HIDDEN)}.items():
            weights[f"{prefix}.mlp.{name}"] = _matrix(rng, *shape)
        weights[f"{prefix}.mlp.down"] = _matrix(rng, HIDDEN, FEED_FORWARD)
        weights[f"{prefix}.norm"] = (1 + 0.1 * rng.standard_normal(HIDDEN)).astype(np.float32)
    return weights


def _matrix(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    spread = 0.02 * rng.lognormal(0, 0.3, (rows, 1)).astype(np.float32)
    large = np.where(rng.random((1, columns)) < 0.01, np.float32(5), np.float32(1))
    return rng.standard_normal((rows, columns), dtype=np.float32) * spread * large


def _trained(base: Weights, rng: np.random.Generator, *, first_layer: int, relative: float) -> Weights:
    """Move every weight from `first_layer` on by a small share of its tensor's spread."""
    trained = dict(base)
    for name, tensor in base.items():
        if name.startswith("layers.") and int(name.split(".")[1]) >= first_layer:
            step = rng.standard_normal(tensor.shape, dtype=np.float32) * np.float32(relative * tensor.std())
            trained[name] = tensor + step
    return trained


def _low_rank_merged(base: Weights, rng: np.random.Generator, *, rank: int) -> Weights:
    merged = dict(base)
    for name, tensor in base.items():
        if name.endswith((".attention.q", ".attention.v")):
            rows, columns = tensor.shape
            left = rng.standard_normal((rows, rank), dtype=np.float32) * np.float32(0.01)
            right = rng.standard_normal((rank, columns), dtype=np.float32) * np.float32(0.01)
            merged[name] = tensor + left @ right
    return merged


def _save(folder: Path, weights: Weights) -> None:
    folder.mkdir()
    _write_tensors(folder / "model-fp32.safetensors", "F32", weights)
    halves = {name: _to_bf16(tensor) for name, tensor in weights.items()}
    _write_tensors(folder / "model-bf16.safetensors", "BF16", halves)


def _to_bf16(tensor: np.ndarray) -> np.ndarray:
    """Round to the nearest bfloat16, ties to even."""
    bits = tensor.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _write_tensors(path: Path, dtype: str, weights: Weights) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in weights.items():
        span = [offset, offset + tensor.nbytes]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": span}
        offset += tensor.nbytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in weights.values():
            out.write(np.ascontiguousarray(tensor).data)
