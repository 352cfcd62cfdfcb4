#!/usr/bin/env python3
"""The shipped categories (rules/defaults) hold plain names, each once, none below another, and say where they come from.

With arguments, the files named by them. Exit 1 and a line for each fault.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
NAME = re.compile(rf"^({LABEL}\.)+{LABEL}$")
# Hosts of everybody: a category that held one would block strangers.
SHARED = {"googleapis.com", "gstatic.com", "google.com", "cloudfront.net", "akamaihd.net", "akamaized.net", "akamai.net",
          "amazonaws.com", "azureedge.net", "fastly.net", "microsoft.com", "apple.com", "icloud.com", "co.uk", "com", "net",
          "org", "github.io", "blogspot.com", "edgekey.net", "edgesuite.net", "cloudflare.com", "cloudflare.net"}


def faults_of(path: pathlib.Path) -> list[str]:
    faults, seen = [], {}
    if not re.fullmatch(r"[a-z0-9_]+\.txt", path.name):
        faults.append(f"{path.name}: the name of a category is a-z, 0-9 and _")
    lines = path.read_text().splitlines()
    if not lines or not lines[0].startswith("#") or "http" not in " ".join(x for x in lines if x.startswith("#")):
        faults.append(f"{path.name}:1: begins without a comment that names its source")
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        where = f"{path.name}:{number}: {line!r}"
        if not NAME.match(line):
            faults.append(f"{where} is no plain lower-case host name")
        elif line in SHARED:
            faults.append(f"{where} is everybody's")
        elif line in seen:
            faults.append(f"{where} stands in line {seen[line]} already")
        seen.setdefault(line, number)
    for name, number in seen.items():
        above = [parent for parent in seen if name.endswith("." + parent)]
        if above:
            faults.append(f"{path.name}:{number}: {name!r} is below {above[0]!r}")
    return faults


def main() -> int:
    paths = [pathlib.Path(name) for name in sys.argv[1:]] or sorted((ROOT / "rules/defaults").glob("*.txt"))
    faults = [fault for path in paths for fault in faults_of(path)]
    if not paths:
        faults = ["rules/defaults: no category at all"]
    readme = ROOT / "rules/defaults/README.md"
    if not sys.argv[1:]:
        told = set(re.findall(r"`([a-z0-9_]+)`", readme.read_text()))
        faults += [f"README.md: says nothing of {path.stem}" for path in paths if path.stem not in told]
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
