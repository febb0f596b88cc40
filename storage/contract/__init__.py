"""Records that bot and trainer exchange through the store: jobs, outcomes, progress, subjects, recipes.

Nothing here decides what follows from a record; `storage.lifecycle` does.
"""
