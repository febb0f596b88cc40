"""The object store: one interface with conditional writes, kept by a folder and by S3.

It knows bytes and names, and nothing of jobs or subjects.
"""
