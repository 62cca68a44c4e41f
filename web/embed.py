"""Writes the page as C: every file of web/dist, as it is and compressed. Without web/dist the table is empty.

usage: embed.py DIST OUTPUT. The output is left alone when it would not change, so that nothing is compiled again.
"""

import gzip
import hashlib
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}


def array(name, data):
    lines = (",".join(map(str, data[i:i + 32])) for i in range(0, len(data), 32))
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(lines) + "\n};\n"


def view(name, data):
    return f"{{(const char *){name}, {len(data)}}}"


def write(dist):
    files = sorted(p for p in dist.iterdir() if p.suffix in TYPES) if dist.is_dir() else []
    arrays, rows = [], []
    for i, path in enumerate(files):
        plain = path.read_bytes()
        packed = gzip.compress(plain, 9, mtime=0)
        arrays += [array(f"plain_{i}", plain), array(f"packed_{i}", packed)]
        rows.append(f'\t{{{{"{path.name}", {len(path.name)}}}, "{TYPES[path.suffix]}", "{hashlib.sha256(plain).hexdigest()[:16]}", '
            f'{view(f"plain_{i}", plain)}, {view(f"packed_{i}", packed)}}},\n')
    end = "\t{{NULL, 0}, NULL, NULL, {NULL, 0}, {NULL, 0}},\n"
    return ('/* Made by web/embed.py. */\n#include "control/page.h"\n\n' + "\n".join(arrays) +
        "\nconst struct page_file page_files[] = {\n" + "".join(rows) + end + "};\n")


def main():
    dist, output = map(pathlib.Path, sys.argv[1:])
    text = write(dist)
    if not output.exists() or output.read_text() != text:
        output.write_text(text)


if __name__ == "__main__":
    main()
