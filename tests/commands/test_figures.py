"""Workers write their figures into one folder: the operator's, or one that goes with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.commands.figures import FOLDER, shared


def test_the_folder_that_an_operator_has_named_is_used_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with shared():
        assert os.environ[FOLDER] == str(tmp_path)
    assert tmp_path.is_dir()


def test_one_of_our_own_goes_with_who_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, "")  # so that it is unset again afterwards
    del os.environ[FOLDER]
    with shared():
        folder = Path(os.environ[FOLDER])
        assert folder.is_dir()
    assert not folder.exists()
