"""The storage of RIDE files: its marker, and what its files are."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from jobsync.causes import Cause
from jobsync.ride.files import MARKER, Storage, StorageFault

OURS, THEIRS = UUID(int=1), UUID(int=2)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage that nobody has used."""
    return Storage(tmp_path / "rides")


def unreadable(marker: Path) -> None:
    """Put an unreadable file there; for root nothing is."""
    if os.geteuid() == 0:
        pytest.skip("root may read anything")
    marker.touch(mode=0)


def linked(marker: Path) -> None:
    """Put a link there to a file that would do."""
    marker.with_name("elsewhere").write_text(str(OURS))
    marker.symlink_to("elsewhere")


IN_ITS_PLACE: dict[str, Callable[[Path], object]] = {
    "link": linked,
    "link to nothing": lambda marker: marker.symlink_to("nothing"),
    "folder": lambda marker: marker.mkdir(),
    "pipe": os.mkfifo,
    "nothing in it": lambda marker: marker.touch(),
    "something else": lambda marker: marker.write_bytes(b"\xff\xfe garbage"),
    "unreadable": unreadable,
}


@pytest.mark.parametrize("put", IN_ITS_PLACE.values(), ids=IN_ITS_PLACE)
def test_what_is_no_marker_is_a_fault_of_its_own(storage: Storage, put: Callable[[Path], object]) -> None:
    """It is never taken for an absent one, nor waited for, nor followed."""
    storage.root.mkdir()
    put(storage.root / MARKER)

    with pytest.raises(StorageFault, match=r"marker") as fault:
        storage.is_marked(OURS)

    assert Cause.STORAGE_MARKER is fault.value.cause


def test_a_folder_in_the_markers_place_costs_no_descriptor(storage: Storage) -> None:
    """It is looked at before each file: it is told as no marker, and closed."""
    (storage.root / MARKER).mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(3):
        with pytest.raises(StorageFault, match="is no marker"):
            storage.read_marker()

    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_whoever_is_first_has_the_storage(storage: Storage) -> None:
    """The other database is refused, in words that name both; the marker stays as it was."""
    storage.mark(OURS)

    with pytest.raises(StorageFault, match=rf"another database \({OURS}, this one is {THEIRS}\)") as fault:
        storage.mark(THEIRS)

    assert (Cause.STORAGE_OF_ANOTHER, OURS) == (fault.value.cause, storage.read_marker())
    assert [MARKER] == [path.name for path in storage.root.iterdir()]


def test_a_storage_without_hard_links_is_marked_too(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network file systems are; whoever was first still has it."""

    def link(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    storage.mark(OURS)
    with pytest.raises(StorageFault):
        storage.mark(THEIRS)

    assert [MARKER] == [path.name for path in storage.root.iterdir()]
    assert OURS == storage.read_marker()


@pytest.mark.parametrize("put", [IN_ITS_PLACE["link"], IN_ITS_PLACE["something else"], lambda _: None])
def test_a_marker_is_written_anew_over_what_is_none(storage: Storage, put: Callable[[Path], object]) -> None:
    """A link in its place goes, what it leads to stays as it is."""
    storage.root.mkdir()
    put(storage.root / MARKER)
    storage.mark(THEIRS, anew=True)

    assert THEIRS == storage.read_marker()
    assert (storage.root / "elsewhere").exists() is False or (storage.root / "elsewhere").read_text() == str(OURS)


def test_a_folder_in_the_markers_place_is_left_to_a_person(storage: Storage) -> None:
    """Nothing is removed that may hold something."""
    (storage.root / MARKER).mkdir(parents=True)

    with pytest.raises(StorageFault, match="is a folder; remove it"):
        storage.mark(OURS, anew=True)

    assert [MARKER] == [path.name for path in storage.root.iterdir()]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_modes(storage: Storage, umask: int) -> None:
    """Files 0640, folders 0750, at most: a umask only takes away."""
    before = os.umask(umask)
    try:
        storage.mark(OURS)
        storage.place(storage.write(UUID(int=3), "key", b"data"), "tenant-1/invoices/2026/11/key_ride.pdf")
    finally:
        os.umask(before)

    for path in [storage.root, *storage.root.rglob("*")]:
        assert (0o750 if path.is_dir() else 0o640) & ~umask == path.stat().st_mode & 0o777


def test_the_root_may_be_a_link(storage: Storage, tmp_path: Path) -> None:
    """It is the administrator's own, and everything lies inside of what it leads to."""
    (tmp_path / "disk").mkdir()
    storage.root.symlink_to(tmp_path / "disk")
    storage.mark(OURS)
    storage.place(storage.write(UUID(int=3), "key", b"data"), "tenant-1/key.pdf")

    assert b"data" == (tmp_path / "disk/tenant-1/key.pdf").read_bytes()
    assert storage.state_of("tenant-1/key.pdf", hashlib.sha256(b"data").hexdigest()) is None


def test_a_storage_of_before_markers_is_known_by_one_of_its_files(storage: Storage) -> None:
    """One that is as it was written is enough; altered ones and none are not."""
    storage.root.mkdir()
    (storage.root / "a.pdf").write_bytes(b"a")
    known = hashlib.sha256(b"a").hexdigest()

    storage.recognize(OURS, [])
    storage.recognize(OURS, [("gone.pdf", known), ("a.pdf", known)])
    with pytest.raises(StorageFault, match="not mounted"):
        storage.recognize(OURS, [("gone.pdf", known), ("a.pdf", "0" * 64)])


def test_state_of_what_is_no_file(storage: Storage) -> None:
    """Nothing is waited for; a file outside is never read."""
    storage.root.mkdir()
    os.mkfifo(storage.root / "pipe")
    (storage.root / "folder").mkdir()
    (storage.root / "circle").symlink_to("circle")
    paths = ("pipe", "folder", "../outside", "/etc/hostname", "a\0b", "circle", "gone", "pipe/x")

    assert ["altered"] * 6 + ["missing"] * 2 == [storage.state_of(path, None) for path in paths]
