"""Runs: one as a program holds it, and what a store knows of runs and lineage."""
