"""The engine's process: `python -m trainer.engine_process MODEL`, which the worker starts (engine_client.py)."""

from trainer.message_writer import MessageWriter
from trainer.starting import importing


def main() -> None:
    """Import the engine and have it serve."""
    writer = MessageWriter.on_stdout()
    with writer.heartbeat(), importing():
        from trainer import engine
    engine.main(writer)


if __name__ == "__main__":
    main()
