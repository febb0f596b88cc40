"""The engine's process: `python -m trainer.engine_process MODEL`, which the worker starts (engine_client.py)."""

import gc


def main() -> None:
    """Import the engine and have it serve."""
    gc.disable()  # half a million objects are made that stay: to look through them ever again is a fifth of the start
    from trainer import engine

    gc.freeze()
    gc.enable()
    engine.main()


if __name__ == "__main__":
    main()
