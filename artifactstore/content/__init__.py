"""Chunks by cid: put with dedup into packs, get from wherever they lie."""
