"""What a machine has, what a model needs, and what is done where that is too much."""
