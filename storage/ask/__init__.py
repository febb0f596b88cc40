"""What bot and worker share of /ask: domain rules, filters as people type them, and the documents of a space."""
