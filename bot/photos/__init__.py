"""Photos from a chat's attachment to squares that a worker can learn from."""
