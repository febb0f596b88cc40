"""What bot and trainer share: settings, the job contract, subject records and the object store.

The one import rule of the project: `bot → storage ← trainer`, and nothing else.
"""

__version__ = "0.1.0"
