"""A small scan in a store, what one process makes of it, and a Slurm of one machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from hipct.acquisition.store import ScanStoreWriter
from hipct.pipeline.config import Config
from hipct.pipeline.request import Request
from hipct.pipeline.run import reconstruct

CONFIG = {
    "phase": {"delta_beta": 300.0},
    "axis": {"value": 24.0},
    "volume": {"chunk": 32, "window": [-20.0, 60.0]},
}
ROWS = 300
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")


@pytest.fixture(scope="session")
def scan_store(tmp_path_factory):
    from tests.pipeline.conftest import disc_scan

    scan = disc_scan(rows=ROWS, noise=50.0, pixel_size_um=10.0, distance_m=1.0, energy_kev=80.0)
    path = tmp_path_factory.mktemp("cluster") / "scan.zarr"
    with ScanStoreWriter(path, scan.info) as writer:
        for kind in ("flats", "darks", "projections"):
            writer.write_frames(kind, 0, scan.frames[kind])
    return path


@pytest.fixture(scope="session")
def undisturbed(scan_store):
    """Bytes of the volume that one process makes, undisturbed."""
    out = scan_store.with_name("whole.ome.zarr")
    reconstruct(scan_store, out, Config(**CONFIG))
    return _volume_bytes(out)


@pytest.fixture
def request_of(scan_store, tmp_path):
    """Maker of requests for that volume."""

    def make(source=scan_store, **changes):
        facts = {
            "sources": (str(source),),
            "out": str(tmp_path / "organ.ome.zarr"),
            "config": CONFIG,
        }
        return Request(**facts | changes)

    return make


def _volume_bytes(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "zarr.json"
    }


@pytest.fixture
def volume_bytes():
    """Reader of every file of a volume but the metadata, which tell when it was made."""
    return _volume_bytes


@pytest.fixture(scope="session")
def slurm():
    """Slurm on this machine alone: its own munge, no systemd, no control groups."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Slurm is not installed ({', '.join(missing)} missing)")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started by root alone")
    # Its user has to come to its socket, whose path must not be long.
    root = Path(tempfile.mkdtemp(prefix="hipct-slurm-"))
    root.chmod(0o755)
    munge = root / "munge"
    for folder in (munge, root / "state", root / "spool", root / "log"):
        folder.mkdir()
    (munge / "key").write_bytes(os.urandom(1024))
    munge_socket = munge / "socket"
    for path in (munge, munge / "key"):
        shutil.chown(path, "munge", "munge")
    (munge / "key").chmod(0o400)
    munge.chmod(0o711)
    (root / "slurm.conf").write_text(_configuration(root, munge_socket, _free_ports(2)))
    (root / "gres.conf").write_text("")
    daemons = []
    environment = os.environ | {"SLURM_CONF": str(root / "slurm.conf")}
    try:
        subprocess.run(
            [
                *("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"),
                "munged",
                f"--key-file={munge / 'key'}",
                f"--socket={munge_socket}",
                f"--pid-file={munge / 'pid'}",
                f"--log-file={munge / 'log'}",
                f"--seed-file={munge / 'seed'}",
                "--force",
            ],
            check=True,
            capture_output=True,
        )
        for name in ("slurmctld", "slurmd"):
            with open(root / "log" / f"{name}.out", "wb") as log:
                daemons.append(
                    subprocess.Popen(
                        [name, "-D", "-f", str(root / "slurm.conf")],
                        env=environment,
                        stdout=log,
                        stderr=log,
                    )
                )
        _wait_until_idle(environment, root)
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = str(root / "slurm.conf")
        yield root
        subprocess.run(["scancel", "--full", "-u", "root"], check=False, capture_output=True)
        _wait_until_empty()
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before
    finally:
        for daemon in daemons:
            daemon.kill()
            daemon.wait()
        if (munge / "pid").exists():
            subprocess.run(["kill", (munge / "pid").read_text().strip()], check=False)
        shutil.rmtree(root, ignore_errors=True)


def _wait_until_empty():
    """Wait for the ends of jobs: what watches over one would wait for ever for its daemon."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=False)
        if not said.stdout.strip():
            return
        time.sleep(0.2)


def _wait_until_idle(environment, root):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        said = subprocess.run(
            ["sinfo", "-h", "-o", "%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if said.stdout.strip() == "idle":
            return
        time.sleep(0.1)
    logs = "\n".join(log.read_text()[-500:] for log in (root / "log").iterdir())
    pytest.skip(f"Slurm does not start here: {said.stdout} {said.stderr} {logs}")


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _configuration(root, munge_socket, ports):
    host = socket.gethostname().partition(".")[0]
    return f"""\
ClusterName=hipct-tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={munge_socket}
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SlurmdParameters=config_overrides
ReturnToService=2
MailProg=/bin/true
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
MinJobAge=300
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=01:00:00 State=UP
"""
