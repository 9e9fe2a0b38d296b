"""Checks that the documentation agrees with the code: links, pages, configurations, commands, doors.

It reads and complains; it writes nothing into the tree. Usage: docs.py [FOLDER], the root of the repository by default.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from funcgate.app import read_parts
from funcgate.cli.commands import application
from funcgate.config.problems import Faulty

EXAMPLE, OPENAPI = Path("examples/funcgate.yaml"), Path("examples/payments.openapi.yaml")
PROTO = Path("examples/ledger.proto")
CLI_PAGE = Path("docs/cli.md")
WHOLE = {"issuers", "targets", "policies"}
TWICE = 120  # characters; shorter lines may well be equal
NEEDS = {"console": "issuers"}  # a section of the example that means nothing beside others of the second

FENCE = re.compile(r"^ *(```+|~~~+) *(\w*)")
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
CODE = re.compile(r"(`+)(.+?)\1")
HEADING = re.compile(r"^(#{1,6}) +(.*?) *#* *$")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
COMMAND = re.compile(r"(?:^|[|;&] )(?:[A-Z_]+=\S+ )*(?:\S+/)?funcgate((?: +[^\s|;&]+)*)")


class Block(NamedTuple):
    """One fenced block: its language, the number of its first line, its text."""

    language: str
    line: int
    text: str


class Page:
    """One Markdown file: its prose with the fenced blocks taken out (line by line), the blocks, and the anchors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prose: list[tuple[int, str]] = []
        self.blocks: list[Block] = []
        self._split(path.read_text(encoding="utf-8").splitlines())
        self.anchors = set(_anchors(line for _, line in self.prose))

    def _split(self, lines: list[str]) -> None:
        fence, language, begun, held = "", "", 0, list[str]()
        for number, line in enumerate(lines, 1):
            found = FENCE.match(line)
            if fence:
                if found and found[1].startswith(fence) and not found[2]:
                    self.blocks.append(Block(language, begun, "\n".join(held) + "\n"))
                    fence = ""
                else:
                    held.append(line)
            elif found:
                fence, language, begun, held = found[1], found[2], number + 1, []
            else:
                self.prose.append((number, line))
        if fence:
            self.blocks.append(Block(language, begun, "\n".join(held) + "\n"))

    def links(self) -> Iterator[tuple[int, str]]:
        for number, line in self.prose:
            for found in LINK.finditer(CODE.sub("``", line)):
                yield number, found[1]

    def snippets(self) -> Iterator[tuple[int, str]]:
        """Whatever stands in code: inline, or a line of a block that a shell gets."""
        for number, line in self.prose:
            for found in CODE.finditer(line):
                yield number, found[2]
        for block in self.blocks:
            if block.language in ("sh", "console", "bash"):
                yield from _shell_lines(block)


def _anchors(lines: Iterator[str]) -> Iterator[str]:
    """The anchors of the headings, as GitHub and others make them."""
    seen: dict[str, int] = {}
    for line in lines:
        if found := HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", found[2]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            again = seen[slug] = seen.get(slug, -1) + 1
            yield f"{slug}-{again}" if again else slug


def _shell_lines(block: Block) -> Iterator[tuple[int, str]]:
    """The commands of a block; those of a console start with ``$``, and a backslash goes on."""
    whole, begun = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line):
        if whole or block.language != "console" or line.startswith("$ "):
            begun = begun if whole else number
            whole += line.removeprefix("$ ")
            if whole.endswith("\\"):
                whole = whole[:-1]
            else:
                yield begun, whole
                whole = ""


def check_links(root: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for number, link in page.links():
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            goal = (path.parent / name).resolve() if name else path
            if not goal.is_relative_to(root) or not goal.exists():
                yield f"{path}:{number}: there is no {name}"
            elif anchor and goal in pages and anchor not in pages[goal].anchors:
                yield f"{path}:{number}: {goal.name} has no heading for #{anchor}"


def check_reach(root: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Every page of docs/ can be reached from docs/README.md."""
    start = root / "docs" / "README.md"
    reached, to_see = {start}, [start]
    while to_see:
        page = to_see.pop()
        for _, link in pages[page].links() if page in pages else ():
            goal = (page.parent / link.partition("#")[0]).resolve()
            if goal in pages and goal not in reached:
                reached.add(goal)
                to_see.append(goal)
    for path in pages:
        if path.is_relative_to(root / "docs") and path not in reached:
            yield f"{path}: no link from docs/README.md leads here"


def check_twice(root: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """No long line stands twice on a page: a merge left half of it there again."""
    for path, page in pages.items():
        first: dict[str, int] = {}
        for number, line in page.prose:
            if len(line) >= TWICE and first.setdefault(line, number) != number:
                yield f"{path}:{number}: the same line as line {first[line]}"


def check_configurations(root: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """What is a whole configuration loads as it is; some sections of one load in place of the example's."""
    example = _parsed((root / EXAMPLE).read_text())
    for path, page in pages.items():
        for block in page.blocks:
            if block.language in ("yaml", "yml"):
                try:
                    tree = _parsed(block.text)
                except YAMLError as error:
                    yield f"{path}:{block.line}: not YAML: {error}"
                    continue
                if isinstance(tree, dict):
                    kept = {key: value for key, value in example.items() if key not in NEEDS or NEEDS[key] not in tree}
                    text = block.text if tree.keys() >= WHOLE else json.dumps({**kept, **tree})
                    yield from (f"{path}:{block.line}: {problem}" for problem in _problems(root, text))


def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _problems(root: Path, text: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for named in (OPENAPI, PROTO):
            (Path(folder) / named.name).write_bytes((root / named).read_bytes())
        file = Path(folder) / "funcgate.yaml"
        file.write_text(text)
        try:
            read_parts(file, need_secrets=False)
        except Faulty as faulty:
            for problem in faulty.problems:
                if not problem.warning:
                    yield str(problem).removeprefix(f"{folder}/")


def commands() -> dict[str, set[str]]:
    """Every command of the command line ("policy explain") with its options; the groups of commands have none."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        options = {"--help"}
        for parameter in command.params:
            options |= {*parameter.opts, *parameter.secondary_opts} if parameter.param_type_name == "option" else set()
        found[name] = options
        for verb, below in getattr(command, "commands", {}).items():
            if not below.hidden:  # what only the program itself calls
                walk(below, f"{name} {verb}".strip())

    walk(typer.main.get_command(application), "")
    return found


def check_commands(root: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Every command and option that is named exists, and docs/cli.md names them all."""
    known = commands()
    for path, page in pages.items():
        for number, snippet in page.snippets():
            for found in COMMAND.finditer(snippet):
                yield from (f"{path}:{number}: {fault}" for fault in _faults(found[1].split(), known))
    yield from _undocumented(pages.get(root / CLI_PAGE), known)


def _faults(words: list[str], known: dict[str, set[str]]) -> Iterator[str]:
    name = ""
    while words and f"{name} {words[0]}".strip() in known:
        name = f"{name} {words.pop(0)}".strip()
    groups = {verb.rpartition(" ")[0] for verb in known if verb}
    if name in groups and words and re.fullmatch(r"[a-z]+", words[0]):
        yield f"there is no command 'funcgate {name} {words[0]}'".replace("  ", " ")
        return
    for word in words:
        option = OPTION.match(word)
        if option and option[0] not in known[name]:
            yield f"'funcgate {name}' has no option {option[0]}"


def _undocumented(page: Page | None, known: dict[str, set[str]]) -> Iterator[str]:
    if page is None:
        yield f"{CLI_PAGE}: there is no such page"
        return
    sections: dict[str, str] = {}
    name = ""
    for _, line in page.prose:
        if found := re.match(r"## `funcgate ([a-z ]+?)(?: [A-Z\[].*)?`", line):
            name = found[1]
        sections[name] = sections.get(name, "") + line + "\n"
    everywhere = set(OPTION.findall(sections.get("", ""))) | {"--help", "-c", "--json", "--version"}
    groups = {verb.rpartition(" ")[0] for verb in known}
    for verb, options in known.items():
        if verb not in groups and verb not in sections:
            yield f"{CLI_PAGE}: nothing is said of 'funcgate {verb}'"
        elif verb not in groups:
            told = set(OPTION.findall(sections[verb])) | everywhere
            yield from (f"{CLI_PAGE}: 'funcgate {verb}' also has {option}" for option in sorted(options - told))
            wrong = {found[0] for found in re.finditer(r"(?m)(?<=^\| `)--?[a-z-]+", sections[verb])} - options
            yield from (f"{CLI_PAGE}: 'funcgate {verb}' has no {option}" for option in sorted(wrong))


def check_doors(root: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Every `make` goal that is named exists."""
    goals = set(re.findall(r"(?m)^([a-z-]+):", (root / "Makefile").read_text()))
    for path, page in pages.items():
        for number, snippet in page.snippets():
            for found in re.finditer(r"(?:^|\s)make ((?:[a-z-]+ ?)+)", snippet):
                yield from (f"{path}:{number}: there is no 'make {g}'" for g in found[1].split() if g not in goals)


def complaints(root: Path) -> list[str]:
    """Everything that is wrong, in lines ready to print."""
    root = root.resolve()
    files = [
        path
        for path in root.rglob("*.md")
        if path.relative_to(root).parts[0] != "build" and not any(p[0] == "." for p in path.relative_to(root).parts)
    ]
    pages = {path: Page(path) for path in sorted(files)}
    checks = (check_links, check_reach, check_twice, check_configurations, check_commands, check_doors)
    return [line.replace(f"{root}/", "") for check in checks for line in check(root, pages)]


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    found = complaints(root)
    print("\n".join(found) if found else "the documentation agrees with the code")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
