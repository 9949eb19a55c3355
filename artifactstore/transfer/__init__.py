"""Push, pull and read: the pipelines, each readable top to bottom."""
