"""A file that holds what people said is its owner's alone, also where all could read it before."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from app.commands.output import writing_to


@pytest.mark.parametrize("is_private", [True, False])
@pytest.mark.parametrize("was_there", [True, False])
def test_a_private_file_is_its_owners_alone(
    tmp_path: Path, is_private: bool, was_there: bool
) -> None:
    file = tmp_path / "file"
    if was_there:
        file.write_text("longer than what is written")
        file.chmod(0o644)
    before = os.umask(0o022)
    try:
        with writing_to(str(file), is_private=is_private) as write:
            assert stat.S_IMODE(file.stat().st_mode) == (0o600 if is_private else 0o644)
            write(b"line\n")
    finally:
        os.umask(before)
    assert file.read_bytes() == b"line\n"
