"""Tests of /ask: retrieval and answers."""
