"""``hipct serve``."""

from __future__ import annotations

import contextlib

import click


@click.command(name="serve")
@click.argument("volume")
@click.option("--port", type=int, metavar="N", help="Where to listen; 0 takes a free port [9010]")
def command(*, volume: str, port: int | None) -> None:
    """Serve a volume to Neuroglancer in a browser of this machine.

    The link that is printed opens Neuroglancer, which reads VOLUME, an OME-Zarr volume, from here
    until Ctrl-C. Only this machine is answered; from a cluster, forward the port:
    ssh -L 9010:127.0.0.1:9010 HOST
    """
    from hipct.viewing.serve import DEFAULT_PORT, serve_volume

    server, link = serve_volume(volume, DEFAULT_PORT if port is None else port)
    click.echo(f"{volume} is served at {server.address} until Ctrl-C. Open:\n{link}")
    with contextlib.closing(server.socket), contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
