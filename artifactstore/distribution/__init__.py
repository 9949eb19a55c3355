"""Pushes that are no single call: in parts by many, and of what arrives while it is pushed."""
