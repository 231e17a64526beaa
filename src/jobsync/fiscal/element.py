"""
One element of a fiscal document, and how a noun's field says which of its children it is read from.

    method: str | None = tag("formaPago")
    taxes: tuple[Tax, ...] = tag("impuestos/impuesto")

Tags that the printed form has no room for are named in a noun's `NOT_PRINTED`; whatever else is left is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from decimal import Context, Decimal, localcontext
from functools import cache, partial
from operator import methodcaller
from types import NoneType
from typing import Any, ClassVar, NamedTuple, TypeVar, cast, get_args

from lxml import etree
from msgspec import Struct, structs

from jobsync.errors import JobsyncError

DOCUMENT_BYTES_MAX = 64 * 1024 * 1024  # the SRI takes 320 KB; this only keeps a wrong file from filling the memory

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_DIGITS_MOST = 100  # the database refuses numbers of more than some ten thousand
_SIGNATURE = "Signature"
_SAFE: dict[str, Any] = {"resolve_entities": False, "no_network": True, "huge_tree": False, "load_dtd": False}


class UnreadableDocument(JobsyncError):
    """The XML is none, or lacks what no fiscal document can lack; the text names element and line."""

    def __init__(self, reason: str, *, line: int = 0) -> None:
        super().__init__(f"the fiscal document is unreadable: {reason}" + (f" (line {line})" if line else ""))


class Amount(Struct, frozen=True):
    """
    A number as it stands in the XML, `text`, without the blanks around it.

    >>> Amount("12.50000").value
    Decimal('12.50000')
    >>> Amount("12,5").value is None
    True
    """

    text: str

    @property
    def value(self) -> Decimal | None:
        """The exact number; None if the text is no plain decimal number, or one of absurd length."""
        return Decimal(self.text) if len(self.text) <= _DIGITS_MOST and _NUMBER.fullmatch(self.text) else None


def total_of(amounts: Iterable[Amount | None]) -> Decimal | None:
    """Return the exact sum; None if there is nothing to add up, or something that is no number."""
    values = [amount.value if amount else None for amount in amounts]
    known = [value for value in values if value is not None]
    with exact():
        return sum(known, Decimal()) if known and len(known) == len(values) else None


def exact() -> AbstractContextManager[Context]:
    """Work out sums and products of amounts without rounding, however many digits they have."""
    return localcontext(prec=4 * _DIGITS_MOST)


_Children = dict[str, list[Any]]  # of lxml, by name


class Element:
    """
    An element whose children are taken one by one; what is left is unknown.

    A path is relative to the element: names of children with slashes between. All elements of a document share
    `opened`: where each stands, and which of its children are left.
    """

    __slots__ = ("_children", "_found", "_node", "_opened", "_path")

    def __init__(self, node: etree._Element, path: str, opened: list[tuple[str, _Children]]) -> None:
        children: _Children = {}
        for child in node:
            children.setdefault(child.tag.rpartition("}")[2], []).append(child)
        self._node, self._path, self._children, self._opened = node, path, children, opened
        self._found: dict[str, list[Element]] = {}
        opened.append((path, children))

    @classmethod
    def root(cls, xml: bytes) -> Element:
        """Return the root of an XML; raise UnreadableDocument if it is none."""
        node = _parse(xml)
        return cls(node, node.tag.rpartition("}")[2], [])

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    @property
    def line(self) -> int:
        """Where it begins in the XML."""
        return cast("int | None", self._node.sourceline) or 0

    def open_head(self, name: str, called: str) -> None:
        """Open the first child of a name, and that one alone; paths may begin with either name."""
        nodes = self._children.get(name)
        head = [Element(nodes.pop(0), f"{self._path}/{name}", self._opened)] if nodes else []
        self._found[name] = self._found[called] = head

    def each(self, path: str) -> list[Element]:
        """Return all elements at a path; each of its steps may be there several times, or not at all."""
        name, _, rest = path.partition("/")
        if name not in self._found:
            nodes = self._children.pop(name, ())
            self._found[name] = [Element(node, f"{self._path}/{name}", self._opened) for node in nodes]
        found = self._found[name]
        return [one for holder in found for one in holder.each(rest)] if rest else found

    def require(self, path: str) -> Element:
        """Return the first element at a path, itself if that is empty; raise UnreadableDocument without one."""
        at = self
        for name in path.split("/") if path else ():
            if not (found := at.each(name)):
                raise at.error(name, "is missing")
            at = found[0]
        return at

    def text(self, path: str) -> str | None:
        """
        Return the text at a path without the blanks around it; None if it is absent or blank.

        The path's last step may be `.`, the element's own text, or `@name`, an attribute.
        """
        if nodes := self._children.get(path):
            found = nodes.pop(0).text
        elif "/" in path:
            holders, _, name = path.rpartition("/")
            return next((holder.text(name) for holder in self.each(holders)), None)
        elif path[0] == "@":
            found = self._node.get(path[1:])
        else:
            found = self._node.text if path == "." else None
        return str(found or "").strip() or None

    def need(self, path: str) -> str:
        """Return the text at a path; raise UnreadableDocument without one."""
        holders, _, name = path.rpartition("/")
        at = self.require(holders)
        if (text := at.text(name)) is None:
            raise at.error(name, "is missing")
        return text

    def skip(self, path: str) -> None:
        """Take what is at a path as known, whatever it holds."""
        holders, _, name = path.rpartition("/")
        if holders:
            for holder in self.each(holders):
                holder.skip(name)
        self._children.pop(name, None)

    def unread(self) -> tuple[str, ...]:
        """Return the paths of what was not taken, here and in every element of the document, but for the signature."""
        left = ((path, name) for path, children in self._opened for name, nodes in children.items() if nodes)
        return tuple(f"{path}/{name}" for path, name in left if name != _SIGNATURE)

    def error(self, name: str, what: str) -> UnreadableDocument:
        """Return the error for a child, in the words for what is wrong with it."""
        return UnreadableDocument(f"{self._path}/{name} {what}", line=self.line)


def _parse(xml: bytes) -> etree._Element:
    if len(xml) > DOCUMENT_BYTES_MAX:
        raise UnreadableDocument(f"it is larger than {DOCUMENT_BYTES_MAX >> 20} MB")
    try:
        xml.decode()
        # the document was written as UTF-8 when it was unwrapped, whatever its declaration says
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = None
    try:
        # its own parser: trees of one share a table of names, which two threads spoil (lxml 6.1.3, seen 2026-11-28)
        parser = etree.XMLParser(**_SAFE, remove_comments=True, remove_pis=True, encoding=encoding)
        node = etree.fromstring(xml.strip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        why, line = getattr(error, "msg", error), getattr(error, "lineno", None)
        raise UnreadableDocument(f"it is not XML: {why}", line=line or 0) from error
    if node.getroottree().docinfo.internalDTD is not None:
        raise UnreadableDocument("it carries a DOCTYPE, which no fiscal document has")
    return node


# --- what a field says of its place -----------------------------------------------------------------------------------

_Step = Callable[[Element], Any]  # from the noun's element to the field's value


class Noun(Struct, frozen=True):
    """What is read from an element, by `read` alone; `NOT_PRINTED` are the paths of what it leaves out knowingly."""

    NOT_PRINTED: ClassVar[tuple[str, ...]] = ()


_N = TypeVar("_N", bound=Noun)


class _Tag(NamedTuple):
    paths: tuple[str, ...]
    default: str | None
    joined: bool


def tag(*paths: str, default: str | None = None, joined: bool = False) -> Any:
    """
    Declare where a field of a noun is read; its type says how.

    `str` and `Amount` are the text at the first path that says something, and needed unless None or a default may take
    their place; `joined` puts the texts of all paths together, with hyphens. A noun stands at its path, with an empty
    one among the fields of its holder. A tuple has all nouns at its paths, without those that are false.
    """
    return _Tag(paths, default, joined)


def read(noun: type[_N], at: Element) -> _N:
    """Return a noun, each of its fields read from where it says."""
    return noun(**read_fields(noun, at))


def read_fields(noun: type[Noun], at: Element) -> dict[str, Any]:
    """Return what the fields of a noun are read as, by name; those that say no place are left out."""
    for path in noun.NOT_PRINTED:
        at.skip(path)
    return {name: step(at) for name, step in _steps(cast("Any", noun))}


@cache
def _steps(noun: Any) -> tuple[tuple[str, _Step], ...]:
    placed = (field for field in structs.fields(noun) if isinstance(field.default, _Tag))
    return tuple((field.name, _step(field.type, *field.default)) for field in placed)


def _step(kind: Any, paths: tuple[str, ...], default: str | None, joined: bool) -> _Step:
    noun, *others = get_args(kind) or (kind,)
    if others == [...]:
        return lambda at: tuple(found for path in paths for one in at.each(path) if (found := read(noun, one)))
    [path] = paths[:1]
    if noun not in (str, Amount):
        return lambda at: read(noun, at.require(path))
    if joined:
        return lambda at: "-".join(filter(None, map(at.text, paths))) or None
    if NoneType not in others and default is None:
        text: _Step = methodcaller("need", path)
    elif len(paths) == 1 and default is None:
        text = methodcaller("text", path)
    else:
        text = partial(_first_text, paths, default)
    return text if noun is str else lambda at: Amount(found) if (found := text(at)) else None


def _first_text(paths: tuple[str, ...], default: str | None, at: Element) -> str | None:
    return next((text for path in paths if (text := at.text(path))), default)
