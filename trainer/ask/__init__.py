"""Answers with sources: search, pages, documents and ranking, and the answer written from them. Needs no PyTorch."""
