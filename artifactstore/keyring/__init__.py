"""Slot keys, key files and what they unlock: the secrets of a store and its generations."""
