"""Tests of the repository itself: packaging, containers, locks, docs. They read files, and start no deployment."""
