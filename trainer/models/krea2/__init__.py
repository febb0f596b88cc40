"""Krea 2: a transformer that reads by twelve layers of a vision-language model."""
