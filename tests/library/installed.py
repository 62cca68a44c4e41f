"""An installed libweir-pool, and what programs outside the tree need of it. Nothing here looks into the tree's build."""

import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "src/pool/pool.h"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, timeout=120, **options):
    """Its standard output; fails with everything it said when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def install(directory, compiler, *options):
    """Builds the library alone and installs it below `directory`."""
    environment = {**os.environ, "CC": compiler}
    build, prefix = directory / "build", directory / "usr"
    run("meson", "setup", build, ROOT, "-Dgateway=false", "-Dtests=false", "--buildtype=release", f"--prefix={prefix}",
        "--libdir=lib", *options, env=environment)
    run("ninja", "-C", build, "-j", "2", env=environment)
    run("meson", "install", "-C", build, "--no-rebuild", env=environment)
    return Installed(prefix, build)


class Installed:
    """Where it is, and how programs find it: with pkg-config, and with the directory of the shared library."""

    def __init__(self, prefix, build):
        self.prefix, self.build = prefix, build
        self.lib = prefix / "lib"
        self.shared = self.lib / "libweir-pool.so"
        self.archive = self.lib / "libweir-pool.a"
        self.environment = {**os.environ, "PKG_CONFIG_PATH": str(self.lib / "pkgconfig"),
                            "LD_LIBRARY_PATH": str(self.lib)}

    def flags(self, *what):
        return shlex.split(run("pkg-config", *what, "weir-pool", env=self.environment))

    def compile(self, compiler, source, program, *options, static=False):
        link = ["-static", *self.flags("--static", "--libs")] if static else self.flags("--libs")
        run(compiler, *WARNINGS, *options, *self.flags("--cflags"), source, "-o", program, *link)
        return program

    def run(self, program, *arguments, timeout=60):
        return run(program, *arguments, timeout=timeout, env=self.environment)


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def declared_functions():
    """Every function that the header declares."""
    return set(re.findall(r"^[a-z][\w \t]*[ *](weir_pool_\w+)\(", without_comments(HEADER.read_text()), re.MULTILINE))


def exported_functions():
    """Those of them that the libraries have: all but what is inline."""
    inline = re.findall(r"^static inline [^;{(]*?(weir_pool_\w+)\(", without_comments(HEADER.read_text()), re.MULTILINE)
    return declared_functions() - set(inline)


def fields_of(struct):
    """The names of the members of a struct of the header, without those after a comment that says they are private."""
    body = re.search(rf"^struct {struct} {{\n(.*?)^}};", HEADER.read_text(), re.DOTALL | re.MULTILINE).group(1)
    body = without_comments(body.split("/* private")[0])
    return [name for declaration in body.split(";") for name in members(declaration)]


def members(declaration):
    """`uint64_t a, b` -> a, b; `void (*open)(void *owner)` -> open; `uint64_t many[3]` -> many."""
    pointer = re.search(r"\(\*(\w+)\)", declaration)
    if pointer:
        return [pointer.group(1)]
    return [re.findall(r"\w+", part.split("[")[0])[-1] for part in declaration.split(",") if part.strip()]
