"""Benchmarks: this project beside restic and borg on corpora that anyone can make again (see README.md)."""
