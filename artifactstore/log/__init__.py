"""The append-only log: records, the Merkle tree over them, claiming a slot, replay into an applier."""
