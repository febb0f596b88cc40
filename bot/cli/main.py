"""The `darkroom` command. It imports little until it knows where it runs: what a command needs takes long."""

import sys

from bot.cli import command_client


def main() -> None:
    """Run the command line; exit 0 when done, 1 when failed or cancelled, 2 on bad usage or input, 130 on Ctrl-C."""
    try:
        status = command_client.run(sys.argv[1:])
        if status is None:
            from bot.cli import commands

            status = commands.run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
