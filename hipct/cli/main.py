"""The command ``hipct``: its page of help, and what a person sees when something fails.

Commands are imported when they are called, so that ``hipct --help`` needs click alone.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

import hipct
from hipct.core.errors import HipctError

FAILED = 2
INTERRUPTED = 130

SECTIONS = {
    "A first look": {
        "demo": "Simulate a small organ, reconstruct it, show the phase effect",
    },
    "The scan": {
        "simulate": "Write a simulated HiP-CT scan with known truth",
        "import": "Copy a scan, or all sub-scans of a sample, into a store",
        "inspect": "Tell what is in a scan, a store or a volume, and what is missing",
        "axis": "Find the rotation axis, or show slices over a range of axes",
    },
    "The volume": {
        "plan": "Tell what a reconstruction will need, without running it",
        "reconstruct": "Turn a scan, or all sub-scans of an organ, into a 16-bit OME-Zarr volume",
        "pyramid": "Turn a volume of any format into an OME-Zarr pyramid",
        "check": "Validate an OME-Zarr volume",
        "report": "Tell how good a volume is: figures with lights, pictures, all that was done",
        "view": "Open a volume in napari",
        "snapshot": "Draw a volume as PNG: three slices, a projection, a scale bar, physical units",
        "serve": "Serve a volume to Neuroglancer in a browser of this machine",
        "export": "Write a volume or part of it as OME-Zarr, TIFF, JPEG2000, NIfTI, HDF5 or a link",
    },
    "The cluster": {
        "submit": "Run a reconstruction as jobs of a cluster, through Slurm or Dask",
        "status": "Tell where a run stands: done, running, failed, left, and how long it will take",
        "retry": "Do again what has failed or is left of a run that was submitted",
        "cancel": "End the jobs of a run; what they have written is kept",
    },
    "The atlas": {
        "atlas": "Find, open, download and place data sets of the Human Organ Atlas",
        "register": "Find where a zoom lies in its overview",
    },
    "The settings": {
        "config": "Print a configuration file to fill in, or a preset",
    },
}
"""Commands in the order of the work. The texts are the first lines of the commands' own help."""

_MODULES = {name: f"hipct.cli.{name}" for names in SECTIONS.values() for name in names}
_MODULES["import"] = "hipct.cli.import_scan"
_HIDDEN = {"work": "hipct.cli.work"}


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order of the work."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command by name."""
        module = (_MODULES | _HIDDEN).get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands by section, from the table."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:<12}", text) for name, text in commands.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(hipct.__version__, prog_name="hipct")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """HiP-CT from raw projections to a browsable organ volume.

    \b
    Two lines that make a volume from a scan, and show it:
      hipct reconstruct scan.h5 -o organ.ome.zarr --set scan.energy_kev=88
      hipct view organ.ome.zarr

    hipct COMMAND --help explains a command. Where something is missing or wrong, one sentence
    says what, and the exit code is 2.
    """  # noqa: D301 - click wants the character
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every failure becomes one sentence and an exit code."""
    try:
        code = cli.main(args=arguments, prog_name="hipct", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has gone. Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (click.Abort, KeyboardInterrupt):
        _complain(_stopped(arguments))
        sys.exit(INTERRUPTED)
    except (HipctError, click.ClickException, OSError, MemoryError) as error:
        _complain(_sentence(error))
        sys.exit(FAILED)
    sys.exit(code if isinstance(code, int) else 0)


def _sentence(error: Exception) -> str:
    if isinstance(error, HipctError):
        return str(error)
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "hipct"
        return f"{error.format_message()} See '{path} --help'."
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, MemoryError):
        return "the memory of this machine is exhausted; give a smaller --memory."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" that holds {error.filename}" if error.filename else ""
        return f"the disk{where} is full; make room and run the same command again."
    name = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return f"{name}{getattr(error, 'strerror', None) or error}."


def _stopped(arguments: Sequence[str] | None) -> str:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["reconstruct"], ["pyramid"]):
        return "stopped; run the same command again and it goes on where it stood."
    return "stopped."


def _complain(sentence: str) -> None:
    click.echo(f"hipct: {' '.join(sentence.split())}", err=True)
