"""The language model of /ask: any OpenAI-style endpoint, a second one for failover, and what answers cost."""
