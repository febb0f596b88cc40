"""Settings by reader: what bot and worker share, and what only one of them reads; the only readers of the environment.

Descriptions and defaults belong here. What follows from a setting, such as the sizes a base model needs, does not.
"""
