"""What a compiler says."""

from __future__ import annotations


class CompileException(Exception):
    """A source does not compile: the compiler's log."""

    def __init__(self, msg: str, source: str, name: str, options: object, backend: str = "nvrtc"):
        super().__init__(msg)
        self._msg = msg
        self.source, self.name, self.options, self.backend = source, name, options, backend

    def __str__(self) -> str:
        return self._msg


__all__ = ["CompileException"]
