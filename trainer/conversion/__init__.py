"""Export to the formats of other programs and import from them, in a process of its own.

Neither the worker nor the engine may import this.
"""
