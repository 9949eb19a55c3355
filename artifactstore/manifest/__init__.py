"""Manifests: the tree of pages over a version's entries, and the trees of chunk lists under large files."""
