"""The trainer: an arq worker and the engine process that learns subjects and draws pictures."""
