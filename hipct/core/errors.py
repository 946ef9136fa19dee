"""The tree of exceptions.

::

    HipctError
    ├── InputError            an argument, file or array is not what it has to be (ValueError)
    │   ├── FormatError       a file is foreign, truncated or inconsistent
    │   └── MissingMetadata   a step needs a value that the scan does not carry
    ├── ConfigError           a key or a value of the configuration (ValueError)
    ├── PlanError             the job cannot run inside its memory or disk budget
    ├── OutputError           the output exists already, or cannot be written (OSError)
    ├── RemoteError           a server does not answer, or not as it should (OSError)
    ├── DeviceError           the GPU, its driver or its libraries cannot be used
    ├── ClusterError          the batch system refuses or does not answer, or jobs have failed
    └── MissingExtra          an optional package is not installed (ImportError)

In brackets the built-in exception that an error is as well.

Every message is one sentence, or a few, that name the file or key, the value given, what is
allowed and what to do. The command line prints it and exits with code 2.
"""

from __future__ import annotations


class HipctError(Exception):
    """Any error that hipct raises on purpose."""


class InputError(HipctError, ValueError):
    """An argument, a file or an array is not what it has to be."""


class FormatError(InputError):
    """A file is foreign, truncated or inconsistent."""


class MissingMetadata(InputError):
    """A step needs a value that the scan does not carry."""


class ConfigError(HipctError, ValueError):
    """A key or a value of the configuration is wrong."""


class PlanError(HipctError):
    """The job cannot run inside its memory or disk budget."""


class OutputError(HipctError, OSError):
    """The output exists already, or cannot be written."""


class RemoteError(HipctError, OSError):
    """A server does not answer, or not as it should."""


class DeviceError(HipctError):
    """The GPU, its driver or its libraries cannot be used."""


class ClusterError(HipctError):
    """The batch system refuses or does not answer, or jobs have failed."""


class MissingExtra(HipctError, ImportError):
    """An optional package is not installed."""
