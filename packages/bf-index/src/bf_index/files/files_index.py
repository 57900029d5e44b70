"""FilesIndex: files or folders found by glob patterns, with their names as ids."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Literal, Self

from bf_index.arguments import check_bool
from bf_index.files.glob import Group, Walker, split_pattern
from bf_index.files.paths import Paths, describe_collision
from bf_index.files.storage import Stamp, check_stamp, find_remote, is_remote, open_file, take_stamp
from bf_index.ids import Ids, as_objects
from bf_index.index import DatasetIndex

Pattern = str | os.PathLike[str]

_SHOWN = 5


class FilesIndex(DatasetIndex):
    """Files, or folders, that match glob patterns; an id is a file's name.

    Parameters
    ----------
    path : pattern or several, with ``*``, ``?``, ``[...]`` and ``**`` for folders at any depth; a name with
        brackets that exists is taken literally. A URL (``s3://bucket/*.png``) needs the extra ``remote``.
    dirs : index folders in place of files
    no_ext : leave the last extension out of ids
    recursive : ``**`` stands for any depth; with False for one level, as ``*`` does
    sort : order by id, the same on every file system; with False in the order of the walk
    relative : ids are paths relative to the common folder of the patterns, for names that repeat
    verify : remember size and time of each file; ``fullpath`` then refuses one that has changed since
    on_error : 'raise' or 'warn' when a folder can't be read, a link leads nowhere or one of several patterns
        matches nothing
    storage_options : passed to fsspec for URLs

    Raises
    ------
    FileNotFoundError : a pattern matches nothing, or a link leads nowhere
    PermissionError : a folder can't be read
    ValueError : two files have the same id
    """

    __slots__ = ("_options", "_paths", "_stamps")

    def __init__(
        self,
        path: Pattern | Sequence[Pattern],
        dirs: bool = False,
        no_ext: bool = False,
        recursive: bool = True,
        sort: bool = True,
        *,
        relative: bool = False,
        verify: bool = False,
        on_error: Literal["raise", "warn"] = "raise",
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        patterns = _check_patterns(path)
        if on_error not in ("raise", "warn"):
            raise ValueError(f"on_error must be 'raise' or 'warn', got {on_error!r}")
        flags = {"dirs": dirs, "no_ext": no_ext, "recursive": recursive, "sort": sort, "relative": relative}
        for name, value in flags.items():
            check_bool(name, value)
        walker = Walker(dirs, recursive)
        options = dict(storage_options or {})
        starts = [_begin_search(pattern, walker, dirs, options) for pattern in patterns]
        paths = Paths(_common_root([root for root, _ in starts]) if relative else None, no_ext)
        found = [_add_all(groups, paths) for _, groups in starts]
        _report(walker.problems, on_error)
        if not any(found):
            raise FileNotFoundError(_explain_nothing_found(patterns, dirs))
        if missing := [pattern for pattern, some in zip(patterns, found) if not some]:
            message = f"{_explain_nothing_found(missing, dirs)}; pass on_error='warn' to do without"
            if on_error == "raise":
                raise FileNotFoundError(message)
            warnings.warn(message, stacklevel=2)
        count = paths.settle(sort)
        stamps = (
            {path: take_stamp(path, options) for path in paths.table().values()}
            if check_bool("verify", verify)
            else None
        )
        self._ids = None
        self._forget(None, range(count))
        self._paths, self._stamps, self._options = paths, stamps, options

    @classmethod
    def from_paths(cls, paths: Mapping[str, Pattern] | Sequence[Pattern]) -> Self:
        """Return an index of known paths: a mapping of ids to paths, or paths whose names are the ids."""
        if not isinstance(paths, Mapping):
            listed = Paths()
            for folder, name in map(os.path.split, paths):
                listed.add(str(folder), [str(name)])
            paths = listed.table()
        if not paths:
            raise ValueError("FilesIndex.from_paths: got no paths")
        named = {str(name): os.fspath(path) for name, path in paths.items()}
        new = object.__new__(cls)
        new._set(list(named), Paths.of(named), None, {})
        return new

    def _set(
        self,
        ids: list[str],
        paths: Paths,
        stamps: dict[str, Stamp] | None,
        options: dict[str, Any],
    ) -> None:
        self._ids = as_objects(ids)
        self._ids.setflags(write=False)
        self._forget(None, None)
        self._paths = paths
        self._stamps = stamps
        self._options = options

    def _store(self) -> Ids:
        if self._ids is None and self._parent is None:
            # The very strings of the listing: an array of fixed width would hold all of them once more.
            self._ids = as_objects(self._paths.ids())
            self._ids.setflags(write=False)
        return super()._store()

    def fullpath(self, id: str) -> str:
        """Return the absolute path, or the URL, of an id; KeyError with close matches for an unknown one.

        With ``verify`` FileChangedError names a file whose size or time is not what it was.
        """
        path = self._paths.table().get(id)
        if path is None:
            self._position(id)
            raise KeyError(f"no path is known for id {id!r}")
        if self._stamps is not None:
            check_stamp(path, self._stamps[path], self._options)
        return path

    @property
    def paths(self) -> dict[str, str]:
        """A new dict of ids and their paths, in the order of the ids."""
        table = self._paths.table()
        return {name: table[name] for name in self}

    def open(self, id: str, mode: Literal["rb", "r"] = "rb") -> IO[Any]:
        """Open the file of an id for reading, local or remote."""
        return open_file(self.fullpath(id), mode, self._options)

    def _pass_on(self, new: Self) -> None:
        new._paths, new._stamps, new._options = self._paths, self._stamps, self._options
        super()._pass_on(new)

    @classmethod
    def concat(cls, *indices: Any) -> Self:
        """Return one index of the files of several; ValueError when two files have one id."""
        if others := [type(part).__name__ for part in indices if not isinstance(part, FilesIndex)]:
            raise TypeError(
                f"FilesIndex: can't add {others[0]}; only another FilesIndex, since each id needs a path"
            )
        ids = [name for part in indices for name in part]
        paths: dict[str, str] = {}
        for part in indices:
            for name, path in part.paths.items():
                if paths.setdefault(name, path) != path:
                    raise ValueError(describe_collision(name, paths[name], path))
        if len(paths) < len(ids):
            raise ValueError(f"FilesIndex: got {len(ids)} files, but only {len(paths)} of them are different")
        stamps = {path: known for part in indices for path, known in (part._stamps or {}).items()}
        options = {name: value for part in indices for name, value in part._options.items()}
        new = object.__new__(cls)
        new._set(
            ids,
            Paths.of(paths),
            stamps if all(part._stamps is not None for part in indices) else None,
            options,
        )
        return new

    def __getstate__(self) -> dict[str, Any]:
        paths = self.paths
        stamps = None if self._stamps is None else {path: self._stamps[path] for path in paths.values()}
        return {
            **super().__getstate__(),
            "_paths": Paths.of(paths),
            "_stamps": stamps,
            "_options": self._options,
        }


def _check_patterns(path: Any) -> list[str]:
    if isinstance(path, (str, os.PathLike)):
        path = [path]
    if not isinstance(path, (list, tuple)):
        raise TypeError(
            f"FilesIndex: path must be a pattern or a list of patterns, got {type(path).__name__}"
        )
    if not path:
        raise ValueError("FilesIndex: path is an empty list; give at least one pattern")
    for pattern in path:
        if not isinstance(pattern, (str, os.PathLike)):
            raise TypeError(f"FilesIndex: each pattern must be a str or a Path, got {pattern!r}")
    return [str(os.fspath(pattern)) for pattern in path]


def _begin_search(
    pattern: str, walker: Walker, dirs: bool, options: Mapping[str, Any]
) -> tuple[str, Iterable[Group]]:
    """Return the folder where a pattern starts, and what it will find."""
    if is_remote(pattern):
        return find_remote(pattern, dirs, options)
    root, parts = split_pattern(pattern)
    return root if parts else os.path.dirname(root), walker.find(root, parts)


def _add_all(groups: Iterable[Group], paths: Paths) -> bool:
    """Add what one pattern finds; False for nothing."""
    empty = True
    for folder, names in groups:
        paths.add(folder, names)
        empty = False
    return not empty


def _report(problems: list[OSError], on_error: str) -> None:
    """Raise, or warn of, what could not be read; several of a kind come in one message."""
    for kind, what in (
        (PermissionError, "can't be read"),
        (OSError, "are links that lead nowhere, or can't be read"),
    ):
        of_kind = [error for error in problems if isinstance(error, kind)]
        problems = [error for error in problems if error not in of_kind]
        if not of_kind:
            continue
        named = ", ".join(f"{error.filename!r} ({error.strerror})" for error in of_kind[:_SHOWN])
        more = f" and {len(of_kind) - _SHOWN} more" if len(of_kind) > _SHOWN else ""
        message = f"FilesIndex: {named}{more} {what}; repair them, or pass on_error='warn' to leave them out"
        if on_error == "raise":
            raise type(of_kind[0])(of_kind[0].errno, message, of_kind[0].filename)
        warnings.warn(message, stacklevel=3)


def _explain_nothing_found(patterns: list[str], dirs: bool) -> str:
    kind = "folder" if dirs else "file"
    shown = ", ".join(map(repr, patterns))
    hint = ""
    for pattern in patterns:
        if not dirs and os.path.isdir(pattern):
            hint = f"; {pattern!r} is a folder: for its files give {os.path.join(pattern, '*')!r}"
        elif dirs and os.path.isfile(pattern):
            hint = f"; {pattern!r} is a file: leave dirs out"
    return f"FilesIndex: no {kind} matches {shown} (working folder {os.getcwd()!r}){hint}"


def _common_root(roots: list[str]) -> str:
    if not is_remote(roots[0]):
        return os.path.commonpath(roots)
    protocol, _, rest = roots[0].partition("://")
    return (
        f"{protocol}://" + os.path.commonpath([root.partition("://")[2] for root in roots])
        if rest
        else roots[0]
    )
