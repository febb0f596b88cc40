"""Where base models come from, and what their files are made of."""
