"""docs/pool.md says something of everything in the header, and its program runs."""

import re

import pytest

from installed import HEADER, ROOT, declared_functions, fields_of, without_comments

DOCS = ROOT / "docs/pool.md"


def first_program():
    """The first block of C that has a main: the reader is told to copy it."""
    blocks = re.findall(r"```c\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return next(block for block in blocks if "int main(" in block)


def section(title):
    """From the heading to the next one of the same level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert match, f"docs/pool.md has no section {title!r}"
    return match.group(2)


def enumerators():
    """Every name of every enum, without what counts them."""
    bodies = re.findall(r"^enum \w+ \{(.*?)\};", without_comments(HEADER.read_text()), re.DOTALL | re.MULTILINE)
    found = {name for body in bodies for name in re.findall(r"\bWEIR_POOL_\w+", body)}
    return found - {"WEIR_POOL_CLOSE_REASONS", "WEIR_POOL_REFUSALS"}


def not_named_in(text, wanted):
    return sorted(name for name in wanted if not re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", text))


def test_every_function_is_documented():
    assert not_named_in(section("Functions"), declared_functions()) == []


def test_documents_no_function_that_is_not_there():
    named = set(re.findall(r"\bweir_pool_\w+(?=\()", section("Functions")))
    assert named - declared_functions() == set()


@pytest.mark.parametrize("struct, title", [("weir_pool_config", "Configuration"), ("weir_pool_ops", "What the owner does"),
                                           ("weir_pool_waiter", "A waiter"), ("weir_pool_stats", "The books")])
def test_every_field_is_documented(struct, title):
    fields = fields_of(struct)
    assert len(fields) > 4
    assert not_named_in(section(title), fields) == []


def test_every_enumerator_is_documented():
    assert len(enumerators()) > 25
    assert not_named_in(DOCS.read_text(), enumerators()) == []


def test_program_prints_what_the_page_says(library, tmp_path):
    source = tmp_path / "program.c"
    source.write_text(first_program())
    printed = library.run(library.compile("gcc", source, tmp_path / "program", "-std=c11", "-fsanitize=address,undefined"))
    assert f"```\n{printed}```" in DOCS.read_text()
