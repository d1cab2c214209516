"""What every command does with an error: one line, and the exit status of its kind."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec

import typer

from lowres.errors import Interrupted, LowresError

P = ParamSpec("P")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Kinds of `OSError` that are the disk's."""


class _State:
    debug = False


def let_through(debug: bool) -> None:
    """Whether errors leave the commands as they are, with their tracebacks (`--debug`)."""
    _State.debug = debug


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Errors to one line on standard error and the exit status of their kind."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (Interrupted, KeyboardInterrupt) as error:
            what = _first_line(error) if isinstance(error, Interrupted) else "interrupted"
            typer.echo(f"{what}; give the same command again to go on", err=True)
            raise typer.Exit(Interrupted.exit_status) from error
        except LowresError as error:
            if _State.debug:
                raise
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_status) from error
        except BrokenPipeError:
            # the reader of our output has gone (`| head`): not our fault, not an error
            _silence_output()
            raise typer.Exit(0) from None
        except OSError as error:
            if _State.debug or error.errno not in _FULL:
                _bug(error)
            where = f" {error.filename}" if error.filename else ""
            typer.echo(
                f"{error.strerror}{where}; free some space, or write elsewhere, and give the same "
                "command again",
                err=True,
            )
            _silence_output()
            raise typer.Exit(2) from error
        except typer.Abort as error:
            raise typer.Exit(_abandoned(error)) from error
        except (typer.Exit, SystemExit):
            raise
        except Exception as error:
            _bug(error)

    return run


def _bug(error: Exception) -> NoReturn:
    """What nobody foresaw: a line, or with `--debug` the error itself."""
    if _State.debug:
        raise error
    typer.echo(
        f"lowres failed: {type(error).__name__}: {_first_line(error)} "
        "(this is a bug; --debug before the command shows where)",
        err=True,
    )
    raise typer.Exit(1) from error


def _silence_output() -> None:
    """Nothing more to standard output, which Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _abandoned(error: typer.Abort) -> int:
    """The exit status of a question that got Ctrl-C, or nobody to answer it."""
    if isinstance(error.__context__, KeyboardInterrupt):
        typer.echo("interrupted; nothing was written", err=True)
        return Interrupted.exit_status
    typer.echo("no answer on standard input; give all options (see --help)", err=True)
    return 2


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
