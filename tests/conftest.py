"""Fixtures that every room shares.

``xp`` and ``device`` run a test on what computes: NumPy, the kernels on the host (a strict stand-in
for CuPy, see ``standin/``), and CuPy where a device answers. ``bucket`` is a bucket of S3 on this
machine, ``web`` a web server with bad days. Needs NumPy and pytest alone.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
import threading
import time
import urllib.parse
import urllib.request
import warnings
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
STANDIN = REPOSITORY / "tests" / "standin"
DEVICES = ("host-run kernels", "cupy")
PARTS = ("cupy", "cupyx", "cupyx.scipy.fft", "cupyx.scipy.ndimage", "cupyx.scipy.sparse")

BARE = importlib.util.find_spec("zarr") is None
"""Whether this is a node with NumPy, pytest, perhaps CuPy, and not even what hipct asks for."""

# Importing the stand-in a second time, for its doctests, would make two of it.
collect_ignore = ["standin"]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """On a bare node skip the modules that need a package more; elsewhere it is an error."""
    report = yield
    if BARE and report.failed and (package := _lacking(report.call.excinfo.value)):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"{package} is not on this bare node")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """The same for tests that import a package of their own accord."""
    if BARE and call.excinfo and (package := _lacking(call.excinfo.value)):
        reason = pytest.skip.Exception(f"{package} is not on this bare node")
        call.excinfo = pytest.ExceptionInfo.from_exception(reason.with_traceback(call.excinfo.tb))
    return (yield)


def _lacking(error: BaseException | None) -> str | None:
    """The package that an import has failed of."""
    while error is not None:
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if name and name.partition(".")[0] not in ("hipct", "tests", "benchmarks"):
            return name
        error = error.__cause__
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans beside the checkout; the test is skipped where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real scans: the folder ../shared/data is not beside this checkout")
    return folder


@pytest.fixture(params=("numpy", *DEVICES))
def xp(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The array namespace: NumPy, the stand-in for CuPy, CuPy."""
    if request.param == "numpy":
        yield np
    else:
        yield from _device(request.param, request.node)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The array namespace of a device: the stand-in for CuPy, CuPy."""
    yield from _device(request.param, request.node)


@pytest.fixture
def standin(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The stand-in for CuPy, under CuPy's name while the test runs."""
    yield from _device("host-run kernels", request.node)


@pytest.fixture(scope="session")
def sanitised() -> ModuleType:
    """Runs tests again with their kernels under AddressSanitizer: ``sanitised.run_tests(path)``."""
    specification = importlib.util.spec_from_file_location("sanitised", STANDIN / "sanitised.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    if module.library() is None:
        pytest.skip("no AddressSanitizer to watch kernels with: install g++ and libasan")
    return module


@pytest.fixture
def fetch() -> Any:
    """Brings an array of any namespace to the host: ``fetch(array)``."""
    return lambda array: array if isinstance(array, (np.ndarray, np.generic)) else array.get()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket of a server that speaks S3, which the environment leads to: ``s3://...``."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    make = urllib.request.Request(
        f"{url}/organs", method="PUT", headers={"x-amz-acl": "public-read-write"}
    )
    urllib.request.urlopen(make).close()
    names = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_ENDPOINT_URL": url}
    with pytest.MonkeyPatch.context() as environment:
        for name in os.environ:
            if name.startswith(("AWS_", "GOOGLE_")):
                environment.delenv(name)
        for name, value in names.items():
            environment.setenv(name, value)
        yield "s3://organs"
    server.stop()


@dataclass(frozen=True)
class Asked:
    """One request that a web server got."""

    method: str
    path: str
    part: str | None
    authorization: str | None
    sent: int


class Web(ThreadingHTTPServer):
    """The files of a folder, in ranges too.

    Attributes
    ----------
    requests : what was asked for, in order of the answers
    fault : gives for a path and how often it was asked for before: a status, ``"hang"``, ``"cut"``
        (half of the body), ``"drop"``, ``"whole"`` (ranges are ignored), or None
    delay_s : before each answer
    most_at_once : requests that waited for an answer together
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.lock = threading.Lock()
        self.end = threading.Event()
        self.waiting = 0
        self.begin()

    def begin(self, fault: Callable[[str, int], Any] | None = None, delay_s: float = 0) -> None:
        """Forget what was; from now on with these bad days."""
        self.requests: list[Asked] = []
        self.seen: dict[str, int] = {}
        self.most_at_once = 0
        self.fault, self.delay_s = fault or (lambda path, before: None), delay_s

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that have gone away are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Headers and body are two writes: the second would wait.
    server: Web

    def do_GET(self) -> None:
        server, path = self.server, urllib.parse.unquote(self.path)
        with server.lock:
            before = server.seen.get(path, 0)
            server.seen[path] = before + 1
            server.waiting += 1
            server.most_at_once = max(server.most_at_once, server.waiting)
        time.sleep(server.delay_s)
        try:
            fault = server.fault(path, before)
            if fault in ("hang", "drop"):
                self.close_connection = True
                server.end.wait(10 if fault == "hang" else 0)
                return
            self._answer(path, fault)
        finally:
            with server.lock:
                server.waiting -= 1

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def _answer(self, path: str, fault: Any) -> None:
        file = self.server.folder / path.lstrip("/")
        part = self.headers.get("Range")
        status = fault if isinstance(fault, int) else 200 if file.is_file() else 404
        data, whole = b"", 0
        if status == 200:
            data = file.read_bytes()
            whole = len(data)
            self.first = 0
            if part and fault != "whole":
                first, last = part.removeprefix("bytes=").split("-")
                self.first = int(first) if first else max(0, whole - int(last))
                data = data[self.first : int(last) + 1 if first and last else whole]
                status = 206 if data else 416
        asked = Asked(self.command, path, part, self.headers.get("Authorization"), len(data))
        with self.server.lock:
            self.server.requests.append(asked)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{zlib.crc32(data)}"')
        if status == 206:
            end = self.first + len(data) - 1
            self.send_header("Content-Range", f"bytes {self.first}-{end}/{whole}")
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 12:00:00 GMT")
        self.end_headers()
        if fault == "cut":
            self.close_connection = True
            data = data[: len(data) // 2]
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web server of the files of ``web.folder``."""
    server = Web(tmp_path_factory.mktemp("web"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.end.set()
    server.shutdown()
    thread.join()
    server.server_close()


def _device(name: str, test: pytest.Item) -> Iterator[ModuleType]:
    if name == "cupy":
        # What CuPy's own code is warned of, by a newer NumPy say, is not ours. Until the test ends.
        warnings.simplefilter("ignore")
        yield _real_cupy()
        return
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no C++ compiler to run kernels on the host with: install g++")
    modules = _standin()
    kept = _remove()
    sys.modules.update(modules)
    modules["cupy"]._transfers.reset()
    # What tests before this one keep, such as plans, takes nothing of its memory.
    modules["cupy"]._memory.begin()
    # Shown where the test fails: the order of threads is another one in every run.
    seed = modules["cupy"]._raw.seeds.begin()
    test.add_report_section("setup", "seed", f"repeat with HIPCT_STANDIN_SEED={seed}")
    try:
        yield modules["cupy"]
    finally:
        _remove()
        sys.modules.update(kept)


def _remove() -> dict[str, ModuleType]:
    """Take every module of CuPy's names out of the interpreter's list."""
    names = [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]
    return {name: sys.modules.pop(name) for name in names}


@cache
def _standin() -> dict[str, ModuleType]:
    """The modules of the stand-in, imported once for the process."""
    kept = _remove()
    sys.path.insert(0, str(STANDIN))
    try:
        for part in PARTS:
            importlib.import_module(part)
        return _remove()
    finally:
        sys.path.remove(str(STANDIN))
        sys.modules.update(kept)


def _real_cupy() -> ModuleType:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError:
        pytest.skip("no CUDA device answers: cupy is not installed")
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no CUDA device answers: {error}")
    return cupy
