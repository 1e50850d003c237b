"""How the scripts of tools/ read their command line and end.

As for the `caffe-port` command: gflags' spellings, exit status 0 done, 1 an error (one line on standard error; with
CAFFE_PORT_TRACEBACK=1 the traceback too), 2 a command line that makes no sense, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence

from caffe_port.cli.flags import normalise
from caffe_port.errors import CaffeError

TRUE, FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")


class Tool:
    """One script: `@tool.main` marks what it does with its parsed arguments, `tool.run()` does it.

    `flag` and `switch` add options as gflags has them: a switch is on as `--x`, `--x=true` or `-x`, off as `--nox` or
    `--x=false`, and never takes the next word for its value.
    """

    def __init__(self, name: str, description: str | None) -> None:
        self.name = name
        self.parser = argparse.ArgumentParser(
            prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        self.switches: set[str] = set()
        self.add = self.parser.add_argument

    def switch(self, name: str, help: str) -> None:
        self.switches.add(name)
        self.parser.add_argument(f"--{name}", action="store_true", help=help)

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        words = normalise(sys.argv[1:] if argv is None else argv)
        return self.parser.parse_args([word for given in words for word in self._switch(given)])

    def run(self, job: Callable[[argparse.Namespace], int | None], argv: Sequence[str] | None = None) -> int:
        """The exit status of the job with the arguments of the command line."""
        args = self.parse(argv)
        try:
            return int(job(args) or 0)
        except CaffeError as error:
            return self._fail(str(error))
        except BrokenPipeError:  # the reader of our output went away, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return self._fail(f"{where}{error.strerror or error}")
        except KeyboardInterrupt as stopped:
            print(f"{self.name}: interrupted{': ' if stopped.args else ''}{stopped}", file=sys.stderr)
            return 130

    def _switch(self, word: str) -> list[str]:
        """`--x=true` as `--x`; nothing for `--nox` and `--x=false`."""
        match = re.fullmatch(r"--(no)?(\w+?)(?:=(\w+))?", word)
        if match and match[1] and match[2] in self.switches and match[3] is None:
            return []
        if match and not match[1] and match[2] in self.switches and match[3]:
            if match[3].lower() in FALSE:
                return []
            if match[3].lower() not in TRUE:
                self.parser.error(f"--{match[2]} is a switch: true or false, not '{match[3]}'")
            return [f"--{match[2]}"]
        return [word]

    def _fail(self, message: str) -> int:
        if os.environ.get("CAFFE_PORT_TRACEBACK") == "1":
            import traceback

            traceback.print_exc()
        print(f"{self.name}: error: {message}", file=sys.stderr)
        return 1
