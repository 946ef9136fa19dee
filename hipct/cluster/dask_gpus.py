"""Whether the workers of somebody's Dask scheduler can be given GPU work, one share a card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hipct.core.device import Backend, gpu_count
from hipct.core.errors import ClusterError, HipctError
from hipct.core.progress import Observer

_START = (
    "start one worker for each card, with CUDA_VISIBLE_DEVICES set to this card and --resources "
    "GPU=1, or compute with --backend numpy"
)
_NAMED = 3


def gpus_offered(client: Any, where: str, backend: Backend, observer: Observer) -> bool:
    """Whether the workers at an address compute on GPUs.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler.
    where : str
        Its address, for the messages.
    backend : {"auto", "numpy", "cupy"}
        What the run asks for; ``auto`` takes GPUs where workers see some.
    observer : Observer
        Told which workers get no share.

    Raises
    ------
    ClusterError
        If there is no worker, or GPUs are asked for or seen that no worker offers as the resource
        ``GPU``, or a worker offers or sees several: two shares could meet on a card.
    """
    offers = {
        address: worker.get("resources", {}).get("GPU", 0)
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
    }
    if not offers:
        raise ClusterError(
            f"The Dask scheduler at {where} has no workers; start some with: dask worker {where}"
        )
    if backend == "numpy":
        return False
    seen: dict[str, int] = client.run(_gpus_seen)
    offering = [address for address, amount in offers.items() if amount]
    if not offering:
        with_cards = [address for address, count in seen.items() if count]
        if backend == "auto" and not with_cards:
            return False
        raise ClusterError(
            f"No worker at {where} offers a GPU as the resource GPU ({_named(list(offers))}); "
            f"{_START}."
        )
    unfit = [address for address in offering if offers[address] != 1 or seen.get(address, 1) != 1]
    if unfit:
        raise ClusterError(
            f"Workers at {where} do not have one card each ({_named(unfit)}: "
            f"{seen.get(unfit[0], 1)} GPUs seen, {offers[unfit[0]]:g} offered); {_START}."
        )
    if others := [address for address, amount in offers.items() if not amount]:
        observer.say(f"Workers without the resource GPU get no share: {_named(others)}.")
    return True


def _gpus_seen() -> int:
    """GPUs that a worker sees; asked there."""
    try:
        return gpu_count()
    except HipctError:
        return 0


def _named(addresses: Sequence[str]) -> str:
    more = len(addresses) - _NAMED
    return ", ".join(addresses[:_NAMED]) + (f" and {more} more" if more > 0 else "")
