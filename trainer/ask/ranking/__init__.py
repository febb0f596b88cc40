"""Ranking of passages: BM25 and static vectors, fused; copies merged, stale sources marked."""
