"""Ciphers, hashes, signatures and key derivation of suite 1, each behind the few calls used here."""
