"""The engine's process: `python -m trainer.engine.process MODEL`, which the worker starts (engine_client.py)."""

from trainer import threads
from trainer.engine.message_writer import MessageWriter
from trainer.fast_import import fast_import


def main() -> None:
    """Import the engine and have it serve."""
    threads.set_up()
    writer = MessageWriter.on_stdout()
    with writer.heartbeat(), fast_import():
        from trainer.engine import engine
    engine.main(writer)


if __name__ == "__main__":
    main()
