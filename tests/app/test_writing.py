"""Files that commands write: nothing is left of what failed, and special files stay what they are."""

import os
import threading
from pathlib import Path

import pytest

from armillary.app.cli import main
from armillary.app.writing import write_file, written
from armillary.errors import InputError


def interrupted(path):
    with written(path) as file:
        file.write("third")
        raise KeyboardInterrupt


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_file(path, "first\n")
    with pytest.raises(UnicodeEncodeError):
        write_file(path, "second \ud800")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text("utf-8") == "first\n"
    assert os.listdir(path.parent) == ["a.txt"]


def test_folders_and_names_that_cannot_be_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "a\0b", tmp_path / ("x" * 300), Path("/dev/null/x")):
        with pytest.raises(InputError, match="cannot be written"):
            write_file(path, "text")
    assert not os.listdir(tmp_path)


def test_links_are_followed(tmp_path):
    target, link = tmp_path / "far" / "target.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    write_file(link, "new")
    assert link.is_symlink()
    assert target.read_text("utf-8") == "new"
    assert os.listdir(target.parent) == ["target.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_pipes_are_written_into(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")))
    reader.start()
    write_file(pipe, "through")
    reader.join(timeout=10)
    assert read == ["through"]
    assert pipe.is_fifo()


@pytest.mark.parametrize(("name", "says"), [("", "the name is empty"), (".", "is a directory")])
def test_what_cannot_be_a_file_is_refused_before_the_work(name, says, capsys):
    words = "train --model llama-3.1-8b --system p5 --gpus 64 --global-batch 256 --seq 4096 --svg"
    with pytest.raises(SystemExit) as done:
        main([*words.split(), name])
    assert done.value.code == 2
    error = capsys.readouterr().err
    assert "'--svg'" in error
    assert says in error
