"""What `meson install` leaves behind, and that strangers can build with it."""

import re
import shutil

import pytest

from installed import ROOT, exported_functions, install, run, without_comments
from test_docs import first_program

COMPILERS = ["gcc", "clang-19"]
CPP_COMPILERS = ["clang++-19", "g++"]  # the first comes with clang-19, which the tests have installed


@pytest.fixture(scope="module", params=COMPILERS)
def built(request, library, tmp_path_factory):
    if request.param == "gcc":
        return library
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param}")
    return install(tmp_path_factory.mktemp("clang"), request.param)


@pytest.fixture(scope="module")
def program_source(tmp_path_factory):
    source = tmp_path_factory.mktemp("program") / "program.c"
    source.write_text(first_program())
    return source


def files(library):
    return {str(path.relative_to(library.prefix)) for path in library.prefix.rglob("*") if not path.is_dir()}


def names(*command):
    return {line.split()[-1].split("@")[0] for line in run(*command).splitlines() if len(line.split()) > 1}


def needed(program):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", program))


def abi(library):
    """The number of the soname: a program must not be run with another one. Before 1.0.0 that is the first two."""
    major, minor, _ = library.flags("--modversion")[0].split(".")
    return f"0.{minor}" if major == "0" else major


def test_every_file_is_where_debian_looks(library):
    version = library.flags("--modversion")[0]
    soname = f"libweir-pool.so.{abi(library)}"
    assert files(library) == {"include/weir/pool.h", "lib/pkgconfig/weir-pool.pc", "lib/libweir-pool.a", "lib/libweir-pool.so",
                              f"lib/{soname}", f"lib/libweir-pool.so.{version}"}
    assert (library.lib / soname).resolve() == library.lib / f"libweir-pool.so.{version}"
    assert f"version: '{version}'" in (ROOT / "meson.build").read_text()


@pytest.mark.parametrize("kind, left_out", [("static", "lib/libweir-pool.so"), ("shared", "lib/libweir-pool.a")])
def test_either_library_can_be_left_out(library, tmp_path, kind, left_out):
    partial = install(tmp_path, "gcc", f"-Ddefault_library={kind}")
    assert files(partial) == {name for name in files(library) if not name.startswith(left_out)}


def test_shared_library_exports_what_the_header_declares(built):
    node = f"WEIR_POOL_{abi(built).replace('.', '_')}"
    assert names("nm", "-D", "--defined-only", built.shared) == exported_functions() | {node}


def test_archive_defines_what_the_header_declares(built):
    assert names("nm", "-g", "--defined-only", built.archive) == exported_functions()


def test_archive_has_machine_code(built):
    """Not the compiler's intermediate form, which another compiler could not link."""
    assert "__gnu_lto" not in run("nm", built.archive)
    assert "gnu.lto" not in run("readelf", "-SW", built.archive)


def test_shared_library_needs_libc_only(built):
    assert needed(built.shared) == ["libc.so.6"]
    assert f"soname: [libweir-pool.so.{abi(built)}]" in run("readelf", "-d", built.shared)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_program_links_with_either_library_of_either_compiler(built, program_source, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    dynamic = built.compile(compiler, program_source, tmp_path / "dynamic", "-std=c11")
    static = built.compile(compiler, program_source, tmp_path / "static", "-std=c11", static=True)
    assert f"libweir-pool.so.{abi(built)}" in needed(dynamic)
    assert needed(static) == []
    assert built.run(dynamic) == built.run(static) != ""


def test_private_names_do_not_collide(built, tmp_path):
    """A program may have functions of its own that are called like those inside, also when it links the archive."""
    header = without_comments((ROOT / "src/pool/engine.h").read_text())
    between_files = set(re.findall(r"^(?!static)[a-z][\w \t]*[ *](pool_\w+)\(", header, re.MULTILINE))
    inside = sorted(names("nm", "--defined-only", built.archive) & between_files)
    assert len(inside) > 3
    source = tmp_path / "collide.c"
    source.write_text("#include <weir/pool.h>\n" +
                      "".join(f"int {name}(void);\nint {name}(void)\n{{\n\treturn 7;\n}}\n" for name in inside) +
                      "int main(void)\n{\n\tweir_pool_free(NULL);\n"
                      f"\treturn weir_pool_budget_create(0, 0, NULL) == NULL && {inside[0]}() == 7 ? 0 : 1;\n}}\n")
    built.run(built.compile("gcc", source, tmp_path / "collide", "-std=c11", static=True))


@pytest.mark.parametrize("compiler", list(filter(shutil.which, CPP_COMPILERS)) or CPP_COMPILERS[:1])
def test_program_in_cpp(library, tmp_path, compiler):
    source = ROOT / "tests/library/borrow.cpp"
    for standard in "c++11", "c++20":
        program = library.compile(compiler, source, tmp_path / standard, f"-std={standard}")
        assert library.run(program) == "delivered, closed\n"


def test_header_needs_no_other(library, tmp_path):
    source = tmp_path / "alone.c"
    source.write_text("#include <weir/pool.h>\n#include <weir/pool.h>\n")
    for compiler in filter(shutil.which, COMPILERS):
        run(compiler, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wstrict-prototypes", "-fsyntax-only",
            *library.flags("--cflags"), source)
