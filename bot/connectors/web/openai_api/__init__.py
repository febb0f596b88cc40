"""The OpenAI-style API of the local web server: chat completions with sources, for clients of OpenAI and of Sonar."""
