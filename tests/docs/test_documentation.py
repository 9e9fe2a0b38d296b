"""`make docs`: our own pages pass, and each kind of slip is found at its place."""

import shutil
from pathlib import Path

import pytest
from tools.docs import complaints

ROOT = Path(__file__).parents[2]
POLICY = "policies:\n  - {{name: a, effect: allow, functions: [payments.{function}], principals: ['*']}}\n"


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository of which nothing is wrong: our command line, our example, and two pages."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "examples", root / "examples")
    shutil.copy(ROOT / "Makefile", root)
    (root / "docs").mkdir()
    page = (ROOT / "docs" / "cli.md").read_text().replace("](", "](https://funcgate.example/")
    (root / "docs" / "cli.md").write_text(page)
    (root / "docs" / "README.md").write_text("# Start\n\n[Commands](cli.md), [a page](page.md)\n")
    return root


def said(root: Path, page: str) -> list[str]:
    (root / "docs" / "page.md").write_text(page)
    return complaints(root)


def yaml(text: str) -> str:
    return f"```yaml\n{text}```\n"


def test_our_documentation_agrees_with_the_code() -> None:
    assert complaints(ROOT) == []


def test_a_folder_of_the_machine_s_own_is_not_looked_at(sound: Path) -> None:
    (sound / ".venv").mkdir(exist_ok=True)
    (sound / ".venv" / "x.md").write_text("[away](away.md)")
    assert said(sound, "") == []


@pytest.mark.parametrize(
    "page",
    [
        "[up](README.md), [here](#a-b-c-1), [there](README.md#start), [out](https://a.example/x#y)\n# A, *b*: `c`\n# A b c",
        "`[not a link](nowhere.md)`\n```\n[nor this](nowhere.md)\n```\n",
        "`funcgate audit list --since 15m`, `funcgate`, `funcgate.yaml`, `make demo ONCE=1`",
        "```console\n$ funcgate policy explain --function a.b \\\n    --args '{}'\nfuncgate nothing that it printed\n```",
        yaml(POLICY.format(function="getTransfer")),
        yaml("- a list is not a configuration\n"),
        yaml((ROOT / "examples" / "funcgate.yaml").read_text()),
    ],
)
def test_nothing_is_wrong_with_these(sound: Path, page: str) -> None:
    assert said(sound, page) == []


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("\n[a](nowhere.md)", "docs/page.md:2: there is no nowhere.md"),
        ("![a](nowhere.svg)", "docs/page.md:1: there is no nowhere.svg"),
        ("[a](../../secret.md)", "docs/page.md:1: there is no ../../secret.md"),
        ("# Heading\n[a](#heding)", "docs/page.md:2: page.md has no heading for #heding"),
        ("[a](README.md#begin)", "docs/page.md:1: README.md has no heading for #begin"),
        ("Say `funcgate chekc`.", "docs/page.md:1: there is no command 'funcgate chekc'"),
        ("`funcgate audit lst`", "docs/page.md:1: there is no command 'funcgate audit lst'"),
        ("`A=b .venv/bin/funcgate check --fast`", "docs/page.md:1: 'funcgate check' has no option --fast"),
        ("```sh\ncd x\nfuncgate \\\n  serve --now\n```", "docs/page.md:3: 'funcgate serve' has no option --now"),
        ("`make coffee`", "docs/page.md:1: there is no 'make coffee'"),
        (yaml(POLICY.format(function="nothing")), "docs/page.md:2: funcgate.yaml:1:"),
        (yaml("masking: [{functions: ['*'], detect: [emial]}]\n"), "docs/page.md:2: funcgate.yaml:1:"),
        ("text\n" + yaml("a: [\n"), "docs/page.md:3: not YAML: "),
        (f"{'x' * 120}\n\n{'x' * 120}", "docs/page.md:3: the same line as line 1"),
    ],
)
def test_a_slip_is_found_at_its_place(sound: Path, page: str, complaint: str) -> None:
    (found,) = said(sound, page)
    assert found.startswith(complaint)


def test_a_whole_configuration_gets_nothing_of_the_example(sound: Path) -> None:
    text = (ROOT / "examples" / "funcgate.yaml").read_text().replace("functions: {openapi:", "functoins: {openapi:")
    (found,) = said(sound, yaml(text))
    line = text[: text.index("functoins")].count("\n") + 1
    assert found.startswith(f"docs/page.md:2: funcgate.yaml:{line}:5: unknown key 'functoins'")


def test_a_page_that_nobody_links_to(sound: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(sound, root)
    (root / "docs" / "lost.md").write_text("[start](README.md)")
    assert said(root, "") == ["docs/lost.md: no link from docs/README.md leads here"]
    assert said(root, "[now](lost.md)") == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("## `funcgate serve`", "## Serving", "docs/cli.md: nothing is said of 'funcgate serve'"),
        ("| `--admin` ", "| ", "docs/cli.md: 'funcgate audit list' also has --admin"),
        ("| `--admin` ", "| `--boss`, `--admin` ", "docs/cli.md: 'funcgate audit list' has no --boss"),
    ],
)
def test_the_page_of_the_command_line_is_whole(sound: Path, tmp_path: Path, old: str, new: str, complaint: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(sound, root)
    page = root / "docs" / "cli.md"
    assert old in page.read_text()
    page.write_text(page.read_text().replace(old, new))
    assert said(root, "") == [complaint]
