"""A seed is replayed exactly by another process, too: sim ARGUMENTS, run twice, gives the same trace.

The kernel places each process elsewhere, and what malloc hands out has other bytes in it: who looks at an address, or at memory
that was never written, goes another way.
"""

import os
import subprocess
import sys


def trace(perturb):
    environment = {**os.environ, "MALLOC_PERTURB_": perturb, "LENGTHENS": "x" * int(perturb) * 16}
    return subprocess.run(sys.argv[1:], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


first, second = trace("1"), trace("254")
sys.exit(0 if first == second else f"one process says {first.strip()}, another {second.strip()}")
