"""The main job: a raw scan in, an organ pyramid out."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.errors import ConfigError, InputError, OutputError
from hipct.core.jit import compilation_told
from hipct.core.progress import Observer, Silent
from hipct.core.threads import set_thread_count, thread_count
from hipct.pipeline.backend import run_device
from hipct.pipeline.config import Config, with_absolute_paths
from hipct.pipeline.job import resolve
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.provenance import package_version, parameters
from hipct.pipeline.report import MemoryWatch
from hipct.pipeline.subject import Subject
from hipct.pipeline.work import RunResult, Work
from hipct.volume.publish import refuse_other_than_volume

LESS_DEVICE_MEMORY = (
    "give the run less to plan with, by a smaller --device-memory (compute.device_memory), and "
    "repeat the command: it goes on where it stood"
)
"""What to do where a device runs out of memory in the middle of a run."""


def reconstruct(
    scan: Scan | Series | str | Path | Sequence[str | Path],
    out: str | Path,
    config: Config | None = None,
    *,
    allow_gaps: bool = False,
    overwrite: bool = False,
    restart: bool = False,
    before_delivery: Callable[[Work], None] | None = None,
    observer: Observer | None = None,
) -> RunResult:
    """Reconstruct a scan, or a series of sub-scans, into one 16-bit OME-Zarr pyramid.

    Streamed in slabs: the sub-scans of a series are put in their places and joined on the way,
    without a volume of each. A run that was killed goes on where it stood when it is called again
    with the same parameters; until the volume is whole it grows in ``<out>.run`` and ``out`` does
    not exist.

    Parameters
    ----------
    scan : Scan, Series, path, or sequence of paths
        A scan, its store, or its source file; a series, its store, a folder of its sub-scans, or a
        list of them.
    out : path
        The volume to write, by convention ``NAME.ome.zarr``.
    config : Config, optional
        Configuration; the defaults otherwise.
    allow_gaps : bool
        Of a series: leave out sub-scans that cannot be used, and store rows that no sub-scan has
        seen as 0; the volume says so.
    overwrite : bool
        Replace an existing volume (nothing but a volume), once the new one is whole.
    restart : bool
        Throw away an unfinished run with other parameters.
    before_delivery : callable, optional
        Called with the work once all voxels are written, while all that was found and measured is
        still there.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    InputError
        If a scan cannot be used, or sub-scans leave rows that none covers, without ``allow_gaps``.
    OutputError
        If the output exists, is being written by another process, or the disk is full.
    PlanError
        If the job cannot run inside its memory budget.
    MissingMetadata
        If a step needs a value that neither scan nor config has.
    """
    if not isinstance(scan, (Scan, Series)):
        with open_any(scan, allow_gaps=allow_gaps) as opened:
            return reconstruct(
                opened,
                out,
                config,
                allow_gaps=allow_gaps,
                overwrite=overwrite,
                restart=restart,
                before_delivery=before_delivery,
                observer=observer,
            )
    out = Path(out)
    refuse_other_than_volume(out, overwrite)
    with (
        MemoryWatch() as memory,
        at_work(
            scan, out, config, allow_gaps=allow_gaps, restart=restart, observer=observer
        ) as work,
    ):
        work.stream()
        if before_delivery is not None:
            before_delivery(work)
        return work.deliver(memory.peak_bytes, overwrite)


@contextmanager
def at_work(
    scan: Scan | Series,
    out: Path,
    config: Config | None = None,
    *,
    share: str | None = None,
    wait_s: float = 0.0,
    allow_gaps: bool = False,
    restart: bool = False,
    finishing: bool = False,
    observer: Observer | None = None,
) -> Iterator[Work]:
    """A run taken for this process, with all of its findings made.

    Parameters
    ----------
    scan, out, config, allow_gaps, restart, observer
        As in :func:`reconstruct`.
    share : str, optional
        Name of the share that is taken, of a run that has been prepared; the whole run otherwise.
    wait_s : float
        How long another process that has this share is waited for, in seconds.
    finishing : bool
        Whether this process makes no layer of level 0, so that any device will do.

    Raises
    ------
    HipctError
        As :func:`reconstruct` does.
    """
    # Its paths count among the parameters of a run that may go on in another folder.
    config = Config(**with_absolute_paths((config or Config()).as_dict()))
    observer = observer or Silent()
    subject = Subject.of(scan)
    jobs = [resolve(each, config, of_series=subject.of_series) for each in subject.scans]
    if finishing:
        # A node without a GPU finishes what others have computed on theirs.
        on_cpu = config.compute.model_copy(update={"backend": "numpy"})
        config = config.model_copy(update={"compute": on_cpu})
    ledger = Ledger(out.with_name(out.name + ".run"))
    threads, threads_before = jobs[0].config.compute.threads, thread_count()
    with (
        run_device(config, observer, LESS_DEVICE_MEMORY) as device,
        compilation_told(observer),
    ):
        if threads is not None:
            set_thread_count(threads)
        try:
            # GPU and CPU round differently: one volume is made by one of them.
            made_by = {"hipct": package_version("hipct"), "backend": device.xp.__name__}
            if finishing:
                made_by |= ledger.backend()
            decided = parameters(subject, jobs) | made_by
            if share is None:
                ledger.open(decided, restart=restart)
            else:
                ledger.join(decided, share, wait_s=wait_s)
            yield Work(
                subject,
                jobs[0].config,
                out,
                ledger,
                observer,
                device=device,
                # Of a series that was opened with gaps they are known.
                allow_gaps=allow_gaps or bool(subject.facts and subject.facts["gaps"]),
            )
        except (InputError, ConfigError):
            # With this scan and these settings it will not work the next time either.
            if share is None and not ledger.has_layers():
                ledger.discard()
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OutputError(
                f"The disk of {out.parent} is full; make room and run the same command again: "
                "it goes on where it stood."
            ) from error
        finally:
            ledger.close()
            if threads is not None:
                set_thread_count(threads_before)
