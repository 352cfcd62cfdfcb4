#!/usr/bin/env python3
"""The floors hold: an #include goes down, never sideways or up (docs/ARCHITECTURE.md).

Each folder names the folders it may include. Tests may include anything. Run from anywhere; exit 1 and a line for each
include that breaks the plan.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

MAY_USE = {
    "base": {"base"},
    "base/sys": {"base", "base/sys"},
    "proto": {"base", "proto"},
    "policy": {"base", "policy"},
    "netfilter": {"base", "base/sys", "netfilter"},
    "tls-intercept": {"base", "base/sys", "tls-intercept"},
    "accounting": {"base", "base/sys", "accounting"},
    "flow": {"base", "proto", "policy", "flow"},
    "rules": {"base", "proto", "policy", "rules"},
    "control": {"base", "base/sys", "proto", "policy", "control"},
    "replay": {"base", "proto", "policy", "flow", "replay"},
    # What roles share, then each role: none includes another's. What a process may reach is decided in sandbox.hpp.
    "daemon": {"base", "base/sys", "proto", "policy", "netfilter", "rules", "control", "accounting", "daemon"},
    "daemon/supervisor": {"base", "base/sys", "policy", "netfilter", "rules", "control", "tls-intercept", "daemon",
                          "daemon/supervisor"},
    "daemon/gateway": {"base", "base/sys", "proto", "policy", "netfilter", "flow", "rules", "control", "tls-intercept",
                       "accounting", "daemon", "daemon/gateway"},
    "daemon/keeper": {"base", "base/sys", "policy", "rules", "control", "accounting", "daemon", "daemon/keeper"},
    "daemon/helper": {"base", "base/sys", "proto", "policy", "rules", "control", "daemon", "daemon/helper"},
    "daemon/signer": {"base", "tls-intercept", "daemon", "daemon/signer"},
    "sluicectl": {"base", "base/sys", "proto", "policy", "netfilter", "rules", "control", "tls-intercept",
                  "replay", "sluicectl"},
    "programs": {"daemon", "sluicectl"},
}
# What a folder must not pull in whatever it does: they triple a router's program, or hide cost and effects.
NOWHERE = {"iostream", "regex", "locale", "sstream", "fstream"}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)


def folder_of(path: str) -> str:
    return max((f for f in MAY_USE if path.startswith(f + "/")), key=len, default="")


def main() -> int:
    houses = {name.split("/")[0] for name in MAY_USE} | {"tests", "bench", "build"}
    faults = [f"{folder.name}/: a folder of sources that has no floor here" for folder in sorted(ROOT.iterdir())
              if folder.name not in houses and folder.is_dir() and any(folder.rglob("*.[ch]pp"))]
    for folder in sorted({name.split("/")[0] for name in MAY_USE}):
        for source in sorted(ROOT.joinpath(folder).rglob("*.[ch]pp")):
            name = source.relative_to(ROOT).as_posix()
            for ours, system in INCLUDE.findall(source.read_text()):
                if system in NOWHERE:
                    faults.append(f"{name}: includes <{system}>, which no folder may")
                if not ours:
                    continue
                target = folder_of(ours)
                if not target:
                    faults.append(f'{name}: includes "{ours}", which is not rooted at a folder of the house')
                elif target not in MAY_USE[folder_of(name)]:
                    faults.append(f'{name}: includes "{ours}", but {folder_of(name)} may not use {target}')
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
