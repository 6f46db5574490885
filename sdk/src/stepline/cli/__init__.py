"""The command `stepline`, of the extra `cli`. It ends with

| code | when |
|---|---|
| 0 | what was asked for has come about |
| 1 | the task ended badly (FAILURE, CANCELLED), or the service is not healthy |
| 2 | the command was wrong: an unknown option, a file that is no JSON |
| 3 | the service cannot be reached, or is not available |
| 4 | it took longer than `--timeout`, or the task has not ended |
| 5 | the service refused: an invalid payload, an unknown task, a wrong key |
| 130 | Ctrl-C |
"""

import sys


def main() -> None:
    """The entry point; says what to install when the extra is missing."""
    try:
        from stepline.cli.app import run  # noqa: PLC0415 - may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich", "click"):
            raise
        sys.stderr.write("The command needs an extra: pip install 'stepline[cli]'\n")
        sys.exit(2)
    run()
