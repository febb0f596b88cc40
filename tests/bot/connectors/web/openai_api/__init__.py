"""Tests of `bot/connectors/web/openai_api`."""
