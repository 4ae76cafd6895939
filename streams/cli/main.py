"""``tidewatch``: one command per file of this folder."""

import os


def main() -> None:
    """Entry point of the ``tidewatch`` script."""
    # Before numpy is loaded: its products are small, and threads of its own would fight with ours.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from streams.cli.commands import app

    app(prog_name="tidewatch")


if __name__ == "__main__":
    main()
