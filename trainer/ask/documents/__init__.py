"""Documents of a space and Darkroom's own docs, as text that can be searched."""
