from pathlib import Path

import pytest

from benchmarks.builds import built
from benchmarks.programs import ensure


class Builder:
    """Builds as it was told to, and keeps what it found in its folder."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.found: list[dict[str, str]] = []

    def __call__(self, folder: Path) -> bool:
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        self.found.append({str(file.relative_to(folder)): file.read_text() for file in files})
        (folder / "peer").touch()
        return self.works


@pytest.fixture
def root(tmp_path: Path) -> Path:
    source = tmp_path / "gin" / "src" / "main.go"
    source.parent.mkdir(parents=True)
    source.write_text("first")
    (tmp_path / "gin" / "README.md").write_text("no source")
    return tmp_path / "gin"


def test_a_peer_is_built_once_from_its_sources_alone(root: Path, tmp_path: Path) -> None:
    builder = Builder()
    folders = [built(root, tmp_path / "cache", ["src/**/*"], builder) for _ in range(2)]

    assert folders[0] == folders[1]
    assert builder.found == [{"src/main.go": "first"}]


def test_a_peer_is_built_again_when_its_sources_change(root: Path, tmp_path: Path) -> None:
    builder = Builder()
    built(root, tmp_path / "cache", ["src/**/*"], builder)
    (root / "src" / "main.go").write_text("second")
    built(root, tmp_path / "cache", ["src/**/*"], builder)

    assert builder.found == [{"src/main.go": "first"}, {"src/main.go": "second"}]


def test_a_build_that_failed_is_tried_again_in_an_empty_folder(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = Builder(works=False)
    folders = [built(root, tmp_path / "cache", ["src/**/*"], builder) for _ in range(2)]

    assert folders == [None, None]
    assert builder.found == [{"src/main.go": "first"}] * 2
    assert "The peer gin could not be built, see above; it is left out." in capsys.readouterr().err


def test_a_program_that_is_here_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ensure("sh")
    assert capsys.readouterr().err == ""
