"""Projects, artifacts, versions and aliases: what records do to them, and what can be asked of them."""
