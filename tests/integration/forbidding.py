"""Runs a command that may not make some system calls, as in a container with a seccomp profile:

    forbidding.py ERROR COMMAND...                   membarrier(2) as a whole fails with that error
    forbidding.py ERROR --only BITS COMMAND...       membarrier(BITS, ...) alone
    forbidding.py ERROR --splice COMMAND...          splice(2) instead
"""

import ctypes
import errno
import os
import platform
import struct
import sys

MEMBARRIER = {"x86_64": 324, "aarch64": 283}[platform.machine()]
SPLICE = {"x86_64": 275, "aarch64": 76}[platform.machine()]
PRIVATE_EXPEDITED = 1 << 3

# Of linux/prctl.h, linux/filter.h, linux/seccomp.h.
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
AT_NUMBER, AT_FIRST_ARGUMENT = 0, 16


def program(error, call, only):
    """Each step: what, how far to jump when it is so and when not, and its number."""
    argument = [] if only is None else [(LOAD, 0, 0, AT_FIRST_ARGUMENT), (JUMP_IF_EQUAL, 0, 1, only)]
    steps = [(LOAD, 0, 0, AT_NUMBER), (JUMP_IF_EQUAL, 0, len(argument) + 1, call), *argument,
        (RETURN, 0, 0, FAIL | error), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("HBBI", *step) for step in steps), len(steps)


def forbid(error, call, only):
    libc = ctypes.CDLL(None, use_errno=True)
    code, count = program(error, call, only)
    steps = ctypes.create_string_buffer(code)
    described = struct.pack("HxxxxxxP", count, ctypes.addressof(steps))
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(described), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def main(error, *command):
    call, only = MEMBARRIER, None
    if command[0] == "--only":
        only, command = int(command[1]), command[2:]
    elif command[0] == "--splice":
        call, command = SPLICE, command[1:]
    forbid(getattr(errno, error), call, only)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
