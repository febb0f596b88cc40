"""The `darkroom` command's own: its screen and options, and commands that no other chat has."""
