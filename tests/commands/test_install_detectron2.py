"""``maskprop install-detectron2``, with a small repository in place of Detectron2's."""

import subprocess

import pytest

from maskprop_d2.commands import install_detectron2
from maskprop_d2.commands.install_detectron2 import PATCH, check_out
from maskprop_d2.commands.main import main
from maskprop_d2.errors import InputError


def git(folder, *arguments):
    user = "-c", "user.name=A", "-c", "user.email=a@example.org"
    command = ["git", "-C", str(folder), *user, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose first commit is the one to install, and a change to it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    setup = folder / "setup.py"
    commits = []
    for text in ("compiled\n", "newer\n"):
        setup.write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", text)
        commits.append(git(folder, "rev-parse", "HEAD"))
    git(folder, "checkout", "--quiet", commits[0])
    setup.write_text("plain\n")
    patch = tmp_path / "change.patch"
    patch.write_text("Why.\n\n" + git(folder, "diff") + "\n")
    git(folder, "checkout", "--quiet", "--force", commits[1])
    monkeypatch.setattr(install_detectron2, "COMMIT", commits[0])
    monkeypatch.setattr(install_detectron2, "PATCH", patch)
    return folder


def test_the_pinned_commit_is_checked_out_and_changed(repository, tmp_path):
    check_out(str(repository), str(tmp_path / "out"))
    assert (tmp_path / "out/setup.py").read_text() == "plain\n"


def test_another_state_of_the_source_is_refused(repository, tmp_path, monkeypatch):
    """A patch that does not fit must not give an installation with half of it."""
    monkeypatch.setattr(install_detectron2, "COMMIT", git(repository, "rev-parse", "HEAD"))
    with pytest.raises(InputError, match="was not installed"):
        check_out(str(repository), str(tmp_path / "out"))


def test_without_the_repository_one_line_says_what_failed(tmp_path, capfd):
    with pytest.raises(SystemExit) as end:
        main(["install-detectron2", "--source", str(tmp_path / "gone")])
    assert end.value.code == 2
    *_, last = capfd.readouterr().err.splitlines()
    assert last.startswith("error: Detectron2 was not installed: 'git clone")


def test_without_git_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        main(["install-detectron2"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: git is not installed, but needed for Detectron2\n"


def test_the_change_leaves_nothing_to_compile():
    lines = PATCH.read_text().splitlines()
    assert "-    ext_modules=get_extensions()," in lines
