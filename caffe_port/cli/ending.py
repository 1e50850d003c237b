"""How every command and tool ends.

Exit status: 0 done, 1 an error (one line on standard error; with CAFFE_PORT_TRACEBACK=1 the traceback too), 2 a
command line that makes no sense, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from caffe_port import log
from caffe_port.errors import CaffeError


def status(program: str, job: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> int:
    """The exit status of the job, whose log goes where the arguments say (see `flags.add_log`)."""
    try:
        with log.configured(program, getattr(args, "log_dir", None), getattr(args, "minloglevel", None)):
            return _status(program, job, args)
    except OSError as error:  # the log's file
        return _fail(program, _said(error))


def _status(program: str, job: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> int:
    try:
        return int(job(args) or 0)
    except CaffeError as error:
        return _fail(program, str(error))
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(program, _said(error))
    except KeyboardInterrupt as stopped:
        print(f"{program}: interrupted{': ' if stopped.args else ''}{stopped}", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, by its name: torch itself is slow to import
            raise
        return _fail(
            program,
            f"the GPU has too little memory: {str(error).partition('. ')[0]}. A smaller batch_size needs less (a "
            "solver's iter_size makes up for it); so does a GPU that nothing else uses (nvidia-smi lists what does)",
        )


def _said(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _fail(program: str, message: str) -> int:
    if os.environ.get("CAFFE_PORT_TRACEBACK") == "1":
        import traceback

        traceback.print_exc()
    print(f"{program}: error: {message}", file=sys.stderr)
    log.ended(message)
    return 1
