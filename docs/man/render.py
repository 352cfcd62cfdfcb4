#!/usr/bin/env python3
"""Makes the man pages: render.py FOLDER.

A page NAME.SECTION.md here is Markdown as the manual uses it, so that nothing is told twice: a line `@include FILE HEADING`
stands for that section of docs/FILE (without its heading; `*` for the whole file). What becomes of it in man(7):

  ## heading        .SH (of an included file one step lower: .SS)
  fenced block      as it stands, indented
  | table |         a tagged paragraph a row: the first cell is the tag; what the columns are called is told where it says something
  - item, 1. item   an indented paragraph
  `code`, **bold**  bold; [text](link) its text
"""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent
BULLET = re.compile(r"(- |\d+\. )(.*)")


def sections_of(text: str, heading: str) -> list[str]:
    lines = text.splitlines()
    if heading == "*":
        return [line for line in lines if not line.startswith("# ")]
    found, level, fenced = [], 0, False
    for line in lines:
        fenced ^= line.startswith("```")
        mark = None if fenced else re.match(r"(#+) (.*)", line)
        if mark and level and len(mark[1]) <= level:
            break
        if level:
            found.append(line)
        elif mark and mark[2].startswith(heading):
            level = len(mark[1])
    if not found:
        raise SystemExit(f"render.py: no heading '{heading}'")
    return found


def expand(page: Path) -> list[str]:
    lines = []
    for line in page.read_text().splitlines():
        order = re.match(r"@include (\S+) (.+)", line)
        if not order:
            lines.append(line)
            continue
        for part in sections_of((DOCS / order[1]).read_text(), order[2]):
            lines.append(re.sub(r"^##+ ", "### ", part))
    return lines


def escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("\"", "\\(dq")


def inline(text: str) -> str:
    """Text of a line: code, bold, links."""
    out, bold = [], False
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    for piece in re.split(r"(`[^`]*`|\*\*)", text):
        if piece == "**":
            bold = not bold
            out.append("\\fB" if bold else "\\fR")
        elif piece.startswith("`") and len(piece) > 1:
            out.append(f"\\fB{escape(piece[1:-1].replace(chr(92) + '|', '|'))}\\fR" + ("\\fB" if bold else ""))
        else:
            plain = escape(piece.replace("\\|", "|"))
            out.append(re.sub(r"(^|\s)\*([^*\s][^*]*)\*", r"\1\\fI\2\\fR", plain))
    return "".join(out).strip()


def macro(name: str, text: str) -> str:
    return f'.{name} "{text}"' if text else f".{name}"


def say(text: str) -> str:
    """A text line: none may begin with a control character; sentences stand on lines of their own."""
    line = inline(text)
    return "\n".join("\\&" + part if part[:1] in ".'" else part for part in re.split(r"(?<=[a-z)][.;:]) (?=[A-Z])", line))


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def table(rows: list[str]) -> list[str]:
    head, body = cells(rows[0]), [cells(row) for row in rows[2:]]
    out = []
    for row in body:
        out += [".TP", say(row[0]) or "\\&"]
        if len(row) == 2:
            out.append(say(row[1]) or "\\&")
            continue
        for name, cell in zip(head[1:], row[1:]):
            if cell:
                out += [say(f"{name}: {cell}" if name else cell), ".br"]
        if out[-1] == ".br":
            out.pop()
    return out + [".PP"]


def render(page: Path) -> str:
    title, section = page.name.removesuffix(".md").rsplit(".", 1)
    out = [".\\\" Made by docs/man/render.py; do not edit.", f'.TH {title.upper()} {section} 2026-11-26 "sluice"']
    lines, at, paragraph = expand(page), 0, False
    while at < len(lines):
        line = lines[at]
        at += 1
        heading, bullet = re.match(r"(#+) (.*)", line), BULLET.match(line)
        if line.startswith("```"):
            out += [".PP", ".RS 2", ".nf"]
            while not lines[at].startswith("```"):
                text = escape(lines[at])
                out.append("\\&" + text if text[:1] in ".\\'" else text)
                at += 1
            at += 1
            out += [".fi", ".RE", ".PP"]
        elif heading:
            out.append(macro("SH" if len(heading[1]) < 3 else "SS", inline(heading[2])))
        elif line.startswith("|"):
            rows = [line]
            while at < len(lines) and lines[at].startswith("|"):
                rows.append(lines[at])
                at += 1
            out += table(rows)
        elif bullet:
            tag = "\\(bu" if bullet[1] == "- " else bullet[1].strip()
            text = bullet[2]
            while at < len(lines) and lines[at].startswith(" ") and lines[at].strip():
                text += " " + lines[at].strip()
                at += 1
            out += [f'.IP "{tag}" 4', say(text)]
        elif line.strip():
            if paragraph is False and out[-1].startswith((".IP", ".TP")) is False and not out[-1].startswith("."):
                out.append(".PP")
            text = line
            while at < len(lines) and lines[at].strip() and not re.match(r"[#|@]|```|- |\d+\. ", lines[at]):
                text += " " + lines[at].strip()
                at += 1
            out.append(say(text))
    # A paragraph macro before a heading, a list item or another one says nothing.
    tidy = []
    for line in out:
        while tidy and tidy[-1] == ".PP" and line.startswith((".SH", ".SS", ".PP", ".TP", ".IP", ".RS")):
            tidy.pop()
        if line == ".PP" and tidy and tidy[-1].startswith((".SH", ".SS")):
            continue
        tidy.append(line)
    while tidy[-1] == ".PP":
        tidy.pop()
    return "\n".join(tidy) + "\n"


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted(HERE.glob("*.md")):
        (folder / page.name.removesuffix(".md")).write_text(render(page))


if __name__ == "__main__":
    main()
