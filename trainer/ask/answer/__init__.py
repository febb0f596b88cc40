"""The answer half of /ask: from what retrieval found to an answer with citations, by a model or from quotations."""
