"""Looking after a store: checking that everything it promises is there and whole."""
