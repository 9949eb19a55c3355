"""LMDB on the client: environments shared within a process, and where they lie."""
