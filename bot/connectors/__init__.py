"""The front ends, each in a folder with the same module names.

They translate between a chat and the commands, and decide nothing.
"""
