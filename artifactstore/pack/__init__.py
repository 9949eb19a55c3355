"""Packs: sealing blobs into them, opening blobs from them, planning the ranges to fetch."""
