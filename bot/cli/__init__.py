"""The `darkroom` command: its options, its subcommands, and long-running services. Nothing else may import this."""
