"""Citations in a model's text: found in a stream, mapped to sources, renumbered, and checked."""
