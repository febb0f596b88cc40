"""The engine's process: `python -m trainer.engine_process MODEL`, which the worker starts (engine_client.py)."""

from trainer.starting import importing


def main() -> None:
    """Import the engine and have it serve."""
    with importing():
        from trainer import engine
    engine.main()


if __name__ == "__main__":
    main()
