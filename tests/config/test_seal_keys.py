"""Master keys come from SEAL_KEYS or a file of their owner's; a fault is told without a value."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from app.config.settings import SettingsError, load_settings

ONE, TWO = b64encode(b"1" * 32).decode(), b64encode(b"2" * 32).decode()
FAULTS = {
    "": "is not `id:base64`",
    ONE: "is not `id:base64`",
    f":{ONE}": "is not `id:base64`",
    f"an id:{ONE}": "is not `id:base64`",
    f"{'i' * 65}:{ONE}": "is not `id:base64`",
    "a:": "is not 32 bytes",
    f"a:{ONE[:-1]}": "is not 32 bytes",
    f"a: {ONE}": "is not 32 bytes",
    f"a:{ONE}!": "is not 32 bytes",
    f"a:{b64encode(b'1' * 31).decode()}": "is not 32 bytes",
    f"a:{b64encode(b'1' * 33).decode()}": "is not 32 bytes",
    f"a:{ONE[:-2]}F=": "is not 32 bytes",  # bits beyond the last byte
    f"a:{ONE},a:{TWO}": "is there twice",
    f"a:{ONE},b:{ONE}": "is there twice",
    f"a:{ONE},,b:{TWO}": "is not `id:base64`",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.touch(mode=0o600)
    return path


def test_the_first_key_is_the_active_one(file: Path) -> None:
    file.write_text(f"new:{TWO},\nold:{ONE}\n")
    expected = {"new": b"2" * 32, "old": b"1" * 32}

    assert list(load_settings(seal_keys=f"new:{TWO}, old:{ONE}").read_seal_keys()) == ["new", "old"]
    assert load_settings(seal_keys_file=file).read_seal_keys() == expected
    assert load_settings().read_seal_keys() == {}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_one_line_without_a_value(text: str, file: Path) -> None:
    file.write_text(text)
    for variable, given in (
        ("SEAL_KEYS", {"seal_keys": text}),
        ("SEAL_KEYS_FILE", {"seal_keys_file": file}),
    ):
        with pytest.raises(SettingsError) as refused:
            load_settings(**given)
        line = str(refused.value)
        assert line.startswith(f"{variable}: key ")
        assert FAULTS[text] in line
        assert "\n" not in line
        assert ONE[:8] not in line
        assert TWO[:8] not in line
        assert refused.value.__cause__ is None


def test_one_of_the_two_is_set(file: Path) -> None:
    file.write_text(f"a:{ONE}")
    with pytest.raises(SettingsError, match=r"^SEAL_KEYS and SEAL_KEYS_FILE are both set"):
        load_settings(seal_keys=f"a:{ONE}", seal_keys_file=file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644, 0o602, 0o610])
def test_a_file_that_others_can_read_or_change_is_refused(file: Path, mode: int) -> None:
    file.write_text(f"a:{ONE}")
    file.chmod(mode)
    link = file.with_name("link")
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(SettingsError, match=r"^SEAL_KEYS_FILE: its group or others may"):
            load_settings(seal_keys_file=path)
    file.chmod(0o400)
    assert load_settings(seal_keys_file=link).read_seal_keys()


def test_what_is_no_file_is_refused(tmp_path: Path, file: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("/dev/null")):
        with pytest.raises(SettingsError, match=r"^SEAL_KEYS_FILE: "):
            load_settings(seal_keys_file=path)
    file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"^SEAL_KEYS_FILE: is not UTF-8$"):
        load_settings(seal_keys_file=file)


def test_settings_do_not_show_a_key() -> None:
    assert ONE not in repr(load_settings(seal_keys=f"a:{ONE}"))
