"""What the packages are made of: unit files, man pages, completion, examples, maintainer scripts. Run by ./dev check."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("SLUICE_BIN") or ROOT / "build" / "release" / "bin")
UNITS = sorted((ROOT / "systemd").glob("*.service"))
PAGES = {path.name.removesuffix(".md"): path for path in (ROOT / "docs" / "man").glob("*.md")}
SCRIPTS = [ROOT / "debian" / f"sluice.{name}" for name in ("postinst", "prerm", "postrm")]
EXAMPLES = sorted(path for path in (ROOT / "docs" / "examples").iterdir() if path.is_dir())
# A key that the parser asks for: reader.string("every"), both("from", ...), read_rate(reader, "down", ...).
KEY = re.compile(r"""(?:string|strings|boolean|integers?|find|has|read|both|later_choice|later|duration|period|size|path)
                     \(\s*(?:reader,\s*)?"([a-z_]+)" | choice<[^>]*>\(\s*"([a-z_]+)" """, re.X)
SETTINGS = ["settings_reader.cpp"]
POLICY = ["groups.cpp", "rule_reader.cpp", "conditions.cpp", "declared_lists.cpp", "devices.cpp", "shape.cpp",
          "rewrites.cpp", "policy_tree.cpp"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, ROOT / "docs/man/render.py", folder], check=True)
    return {path.name: path for path in folder.iterdir()}


def words(page: Path) -> str:
    return page.read_text().replace("\\-", "-").replace("\\e", "\\").replace("\\(aq", "'").replace("\\(dq", '"')


def keys_in(files: list[str]) -> set[str]:
    found = set()
    for name in files:
        for match in KEY.finditer((ROOT / "rules" / name).read_text()):
            found.add(match[1] or match[2])
    # not_KEY negates any of them, which is said once.
    return {key for key in found if not key.startswith("not_") or key == "not_enrolled"}


def verbs() -> list[str]:
    text = (ROOT / "sluicectl" / "verbs.cpp").read_text()
    return re.findall(r'^    \{"([a-z0-9]+)", "', text[text.index("verbs = {"):], re.M)


def long_options(file: str) -> list[str]:
    return re.findall(r'\{"([a-z0-9]+)", (?:required|no)_argument', (ROOT / file).read_text())


def says(text: str, word: str) -> bool:
    return re.search(rf"(?<![a-z_]){re.escape(word)}(?![a-z_])", text) is not None


@pytest.mark.parametrize("name", sorted(PAGES))
def test_man_page_is_clean(pages, name):
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", pages[name]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name,files", [("sluice.toml.5", SETTINGS), ("sluice-policy.5", POLICY)])
def test_every_key_is_in_its_man_page(pages, name, files):
    keys = keys_in(files)
    assert len(keys) > 20  # the parser is still read by the same words
    text = words(pages[name])
    if name == "sluice-policy.5":
        text += words(pages["sluice-lists.7"])
    assert not {key for key in keys if not says(text, key)}


def test_every_verb_and_option_is_in_its_man_page(pages):
    text = words(pages["sluicectl.8"])
    assert len(verbs()) > 15
    assert not [verb for verb in verbs() if not says(text, verb)]
    assert not [option for option in long_options("sluicectl/command_line.cpp") if f"--{option}" not in text]
    daemon = words(pages["sluiced.8"])
    assert not [option for option in long_options("daemon/command_line.cpp") if option != "role" and f"--{option}" not in daemon]


def complete(*line: str) -> list[str]:
    """What is offered for the last word."""
    script = f""". /usr/share/bash-completion/bash_completion; . {ROOT}/contrib/completion/sluicectl
        export SLUICE_DEFAULTS={ROOT}/rules/defaults
        COMP_WORDS=(sluicectl "$@"); COMP_CWORD=$#; COMP_LINE="sluicectl $*"; COMP_POINT=${{#COMP_LINE}}
        _sluicectl 2>/dev/null; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script, "bash", *line], capture_output=True, text=True, check=True)
    return [each.strip() for each in done.stdout.splitlines() if each.strip()]


def test_completion_knows_verbs_options_and_names():
    assert set(complete("")) == set(verbs())
    assert complete("--json", "stat") == ["status"]
    assert "update" in complete("list", "")
    school = ["--config", str(ROOT / "docs/examples/school")]
    assert {"pupils", "device:library\\ printer"} <= set(complete(*school, "explain", "--client", ""))
    assert set(complete(*school, "block", "--to", "list:")) & {"list:ut1", "ut1"}
    assert set(complete("block", "--to", "category:yo")) & {"category:youtube", "youtube"}
    assert complete(*school, "code", "new", "--rule", "games") == ["games\\ only\\ after\\ lessons"]
    known = {"--" + option for option in long_options("sluicectl/command_line.cpp")}
    offered = set()
    for verb in verbs():
        for second in ([], ["new"], ["build"], ["update"], ["init"], ["export"], ["revoke"]):
            offered |= set(complete(verb, *second, "-"))
    assert offered | set(complete("-")) == known


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_unit_is_right_and_confined(unit, tmp_path):
    # verify wants the programs: any will do.
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"/usr/s?bin/sluice(d|ctl)", "/bin/true", unit.read_text()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy], capture_output=True,
                          text=True)
    assert done.returncode == 0 and "ignoring" not in done.stderr, done.stderr
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_is_right_as_it_is_copied(example):
    done = subprocess.run([BINARIES / "sluicectl", "check", "--config", example], capture_output=True, text=True)
    assert done.returncode == 0 and "0 errors, 0 warnings" in done.stdout, done.stdout


def test_maintainer_scripts(tmp_path):
    for script in SCRIPTS:
        copy = tmp_path / script.name
        copy.write_text(script.read_text().replace("#DEBHELPER#", ""))
        subprocess.run(["shellcheck", copy], check=True)
    subprocess.run(["shellcheck", "-s", "bash", ROOT / "contrib/completion/sluicectl"], check=True)
