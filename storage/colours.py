"""Colours that bot and trainer agree on."""

NEUTRAL = (128, 128, 128)  # behind what is transparent: neither white nor black subjects vanish on it
