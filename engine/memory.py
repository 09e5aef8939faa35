"""Memory that a batch gives back is kept for the next one.

A page of memory that the system hands out anew is cleared first, and under a hypervisor it may have to be found first:
where batches come and go, that was a quarter of a pass. So freed memory stays with the process, in one heap for all
threads, and Arrow takes its buffers from that heap too.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
"""Parameters of mallopt(3)."""


def keep_freed() -> None:
    """Makes the C library keep what is freed; call it before Arrow is loaded. Without glibc nothing happens."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    for parameter, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 2**31 - 1)):
        mallopt(parameter, value)
    mallopt(_TOP_PAD, 16 << 20)
