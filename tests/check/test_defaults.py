"""The check of the shipped categories finds what it is for. Run by ./dev check."""
import pathlib
import subprocess
import sys

import pytest

CHECK = pathlib.Path(__file__).with_name("defaults.py")
HEAD = "# Example. https://docs.example\n"


@pytest.mark.parametrize("text,fault", [
    ("a.example\n", "without a comment"),
    (HEAD + "a.example\na.example\n", "already"),
    (HEAD + "a.example\nwww.a.example\n", "is below"),
    (HEAD + "A.example\n", "no plain"),
    (HEAD + "https://a.example/\n", "no plain"),
    (HEAD + "bücher.example\n", "no plain"),
    (HEAD + "googleapis.com\n", "everybody's"),
    (HEAD + "com\n", "no plain"),
])
def test_finds(tmp_path, text, fault):
    file = tmp_path / "x.txt"
    file.write_text(text)
    done = subprocess.run([sys.executable, CHECK, file], capture_output=True, text=True)
    assert done.returncode == 1 and fault in done.stdout


def test_takes_what_is_right(tmp_path):
    (tmp_path / "x.txt").write_text(HEAD + "a.example\nb.example\n")
    assert subprocess.run([sys.executable, CHECK, tmp_path / "x.txt"]).returncode == 0
