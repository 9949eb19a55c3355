"""What lies outside the store: looking at it, listing it, and reading it so that it is what a reference says."""
