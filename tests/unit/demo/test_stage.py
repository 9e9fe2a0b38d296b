"""The demo's folder: what it takes over, what it refuses, and that the ports in it are free ones."""

import fcntl
import os
import socket
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from funcgate.demo.stage import MARK, StageError, reserve, set_stage


def test_the_copy_of_the_configuration_has_the_ports_that_were_chosen(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        except OSError:
            pass  # something else holds it already, which serves as well
        stage = set_stage(tmp_path / ".demo")
    config = YAML(typ="safe").load(stage.config)
    assert stage.urls["calls"] != "http://127.0.0.1:8080"
    assert f"http://{config['listen']['calls']}" == stage.urls["calls"]
    assert f"http://{config['listen']['console']}" == stage.urls["console"]
    assert config["issuers"][0]["issuer"] == stage.urls["provider"]
    assert config["targets"][0]["url"] == stage.urls["payments"]
    assert stage.folder.stat().st_mode & 0o077 == 0
    assert stage.api_key not in repr(stage)
    assert not any(stage.api_key in path.read_text() for path in stage.folder.iterdir() if path.is_file())
    stage.close()


def ports_of(held: dict[str, socket.socket]) -> dict[str, int]:
    return {name: one.getsockname()[1] for name, one in held.items()}


def close_all(held: dict[str, socket.socket]) -> None:
    for one in held.values():
        one.close()


def test_the_preferred_ports_are_taken_all_or_none() -> None:
    first = reserve({"a": 23140, "b": 23141})
    wanted = ports_of(first)
    second = reserve(wanted)
    assert ports_of(second) == {name: port + 100 for name, port in wanted.items()}
    first["a"].close()
    third = reserve(wanted)  # "b" is still held, so "a" is not taken either
    assert ports_of(third) == {name: port + 200 for name, port in wanted.items()}
    for held in (first, second, third):
        close_all(held)
    again = reserve(wanted)
    assert ports_of(again) == wanted
    close_all(again)


def test_without_a_free_block_any_ports_will_do() -> None:
    held = reserve({"a": 65535 + 1, "b": 65535 + 2})
    assert len(set(ports_of(held).values())) == 2
    close_all(held)


def test_what_an_earlier_demo_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / ".demo"
    set_stage(folder).close()
    (folder / "funcgate-data" / "journal").mkdir(parents=True)
    (folder / "funcgate-data" / "journal" / "00000001.jsonl").write_text("{}\n")
    (folder / "notes.txt").write_text("mine")
    stage = set_stage(folder)
    assert not (folder / "funcgate-data").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    stage.close()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".demo"
    folder.mkdir()
    (folder / "funcgate.yaml").write_text("mine")
    with pytest.raises(StageError, match="not made by the demo"):
        set_stage(folder)
    assert (folder / "funcgate.yaml").read_text() == "mine"


def test_a_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    set_stage(elsewhere).close()
    (tmp_path / ".demo").symlink_to(elsewhere)
    with pytest.raises(StageError, match="not made by the demo"):
        set_stage(tmp_path / ".demo")


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ".demo"
    stage = set_stage(folder)
    with pytest.raises(StageError, match="another demo is running"):
        set_stage(folder)
    assert stage.config.is_file()
    stage.close()
    again = os.open(folder / MARK, os.O_RDWR)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
