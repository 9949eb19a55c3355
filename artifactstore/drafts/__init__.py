"""Artifacts as objects: drafts that become versions, and the versions that they became."""
