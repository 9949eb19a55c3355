"""Taking out of a store: hiding, taking down, retention, collecting garbage, and receipts for what is gone."""
