"""How a verb fails: ValueError where the call was wrong (exit code 2), WorkFailed or OSError where the work was (1)."""

import errno

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system calls a full disk, a full share of it, and a file that may not grow."""


class WorkFailed(RuntimeError):
    """The call was right and the work could not be done; the message is one sentence for a person."""
