"""Z-Image: a transformer on latents and words in one sequence."""
