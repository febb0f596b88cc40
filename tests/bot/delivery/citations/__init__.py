"""Tests of citations in messages."""
