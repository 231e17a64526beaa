"""
One element of a fiscal document, and how a noun's field says which of its children it is read from.

    method: str | None = tag("formaPago")
    taxes: tuple[Tax, ...] = each("impuestos/impuesto", Tax)

A path is relative to the noun's own element; it may begin with a head of the document, `infoTributaria` or `info`,
which stands for `infoFactura` and the like.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from operator import methodcaller
from typing import Any, TypeVar, cast

from lxml import etree

from jobsync.errors import JobsyncError

DOCUMENT_BYTES_MAX = 64 * 1024 * 1024  # the SRI takes 320 KB; this only keeps a wrong file from filling the memory
HEADS = ("infoTributaria", "info")

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_DIGITS_MOST = 100  # the database refuses numbers of more than some ten thousand
_TEXT_KEPT = 200
_SIGNATURE = "Signature"
_Noun = TypeVar("_Noun")


class UnreadableDocument(JobsyncError):
    """
    The XML is none, or lacks what no fiscal document can lack.

    Args:
        path: the element, from the root: `factura/infoTributaria/ruc`; empty if the XML as a whole is meant.
        line: where its parent, or the trouble, stands in the XML; 0 if unknown.
    """

    def __init__(self, reason: str, *, path: str = "", line: int = 0) -> None:
        self.reason, self.path, self.line = reason, path, line
        super().__init__(f"the fiscal document is unreadable: {reason}" + (f" (line {line})" if line else ""))


@dataclass(frozen=True, slots=True)
class Amount:
    """
    A number as it stands in the XML.

    Args:
        text: its digits, without the blanks around them.

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


@dataclass(frozen=True, slots=True)
class Unknown:
    """An element that nothing reads: its path from the root, its line, the beginning of its text."""

    path: str
    line: int
    text: str = ""


class Element:
    """An element whose children are taken one by one; what is left is unknown."""

    __slots__ = ("_children", "_node", "_opened", "_path", "heads")

    def __init__(self, node: etree._Element, path: str, opened: list[Element]) -> None:
        children: dict[str, list[etree._Element]] = {}
        for child in node:
            children.setdefault(_local(child.tag), []).append(child)
        self._node, self._path, self._children, self._opened = node, path, children, opened
        self.heads: dict[str, Element] = {}  # children of the root that a tag's path can begin with
        opened.append(self)

    @classmethod
    def root(cls, xml: bytes) -> Element:
        """Return the root of an XML; raise UnreadableDocument if it is none."""
        node = _parse(xml)
        return cls(node, _local(node.tag), [])

    @property
    def name(self) -> str:
        """Its tag."""
        return self._path.rpartition("/")[2]

    @property
    def line(self) -> int:
        """Where it begins in the XML."""
        return _line_of(self._node)

    def text(self, name: str) -> str | None:
        """Return the child's text without the blanks around it; None if it is absent or blank."""
        nodes = self._children.get(name)
        return _text(nodes.pop(0)) or None if nodes else None

    def need(self, name: str) -> str:
        """Return the child's text; raise UnreadableDocument without one."""
        text = self.text(name)
        if text is None:
            raise self._lacking(name)
        return text

    def amount(self, name: str) -> Amount | None:
        """Return the child's text as a number; None if it is absent or blank."""
        text = self.text(name)
        return None if text is None else Amount(text)

    def need_amount(self, name: str) -> Amount:
        """Return the child's text as a number; raise UnreadableDocument without one, or if it has no digit."""
        amount = Amount(self.need(name))
        if not any(map(str.isdecimal, amount.text)):  # a decimal comma is no number either, but people can read it
            raise UnreadableDocument(f"{self._path}/{name} is no number", path=f"{self._path}/{name}", line=self.line)
        return amount

    def attribute(self, name: str) -> str | None:
        """Return an attribute without the blanks around it; None if it is absent or blank."""
        return str(self._node.get(name) or "").strip() or None

    def own_text(self) -> str:
        """Return its own text without the blanks around it."""
        return _text(self._node)

    def child(self, name: str) -> Element | None:
        """Return the first child of a name."""
        nodes = self._children.get(name)
        return Element(nodes.pop(0), f"{self._path}/{name}", self._opened) if nodes else None

    def need_child(self, name: str) -> Element:
        """Return the first child of a name; raise UnreadableDocument without one."""
        child = self.child(name)
        if child is None:
            raise self._lacking(name)
        return child

    def each(self, name: str) -> Iterator[Element]:
        """Iterate over the children of a name."""
        for node in self._children.pop(name, ()):
            yield Element(node, f"{self._path}/{name}", self._opened)

    def items(self, container: str, name: str) -> Iterator[Element]:
        """Iterate over the named children of a container that may be absent, or there several times."""
        for holder in self.each(container):
            yield from holder.each(name)

    def unread(self) -> tuple[Unknown, ...]:
        """Return what was not taken, here and in every element opened from the same root."""
        return tuple(unknown for element in self._opened for unknown in element.left())

    def left(self) -> Iterator[Unknown]:
        """Iterate over the children that were not taken, but for the signature."""
        for name, nodes in self._children.items():
            for node in nodes:
                if name != _SIGNATURE:
                    yield Unknown(f"{self._path}/{name}", _line_of(node), _text(node)[:_TEXT_KEPT])

    def _lacking(self, name: str) -> UnreadableDocument:
        return UnreadableDocument(f"{self._path}/{name} is missing", path=f"{self._path}/{name}", line=self.line)


def _parse(xml: bytes) -> etree._Element:
    if len(xml) > DOCUMENT_BYTES_MAX:
        raise UnreadableDocument(f"it is larger than {DOCUMENT_BYTES_MAX >> 20} MB")
    parser = etree.XMLParser(
        # the document was written as UTF-8 when it was unwrapped, whatever its declaration says
        encoding="utf-8" if _is_utf8(xml) else None,
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        node = etree.fromstring(xml.strip(), parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableDocument(f"it is not XML: {error.msg}", line=error.lineno or 0) from error
    except ValueError as error:
        raise UnreadableDocument(f"it is not XML: {error}") from error
    if node.getroottree().docinfo.internalDTD is not None:
        raise UnreadableDocument("it carries a DOCTYPE, which no fiscal document has")
    return node


def _is_utf8(xml: bytes) -> bool:
    try:
        xml.decode()
    except UnicodeDecodeError:
        return False
    return True


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _line_of(node: etree._Element) -> int:
    return cast("int | None", node.sourceline) or 0


def _text(node: etree._Element) -> str:
    return (node.text or "").strip()


# --- what a field says of its place -----------------------------------------------------------------------------------

_Step = Callable[[Element], Any]  # from the noun's element to the field's value
_Renamed = tuple[tuple[str, str], ...]


def _declare(step: Callable[..., _Step], *paths: str, default: object = None) -> Any:
    return dataclasses.field(metadata={"step": step, "paths": paths}, default=default)


def tag(*paths: str) -> Any:
    """Declare a text that may be absent; of several tags the first that says something counts."""
    return _declare(_first, *paths)


def need_tag(path: str) -> Any:
    """Declare a text without which there is no document."""
    return _declare(_single("need"), path)


def amount_tag(path: str) -> Any:
    """Declare a number that may be absent."""
    return _declare(_single("amount"), path)


def need_amount_tag(path: str) -> Any:
    """Declare a number without which there is no document."""
    return _declare(_single("need_amount"), path)


def attribute(name: str) -> Any:
    """Declare an attribute of the element; empty if it is absent."""
    return _declare(lambda name: lambda at: at.attribute(name) or "", name)


def own_text_or(name: str) -> Any:
    """Declare the element's own text, or else an attribute of it; empty if both are absent."""
    return _declare(lambda name: lambda at: at.own_text() or at.attribute(name) or "", name)


def joined_tags(*paths: str) -> Any:
    """Declare a text that the XML has in parts; hyphens come between."""
    return _declare(lambda *tags: lambda at: "-".join(filter(None, map(at.text, tags))) or None, *paths)


def one(path: str, noun: type[_Noun]) -> Any:
    """Declare a child that may be absent."""
    return _declare(
        lambda tag: lambda at: next((read(noun, child) for child in at.each(tag)), None),
        path,
    )


def each(path: str, noun: type[_Noun], **renamed: str) -> Any:
    """Declare the children of a container, of any number, without those that are false; `renamed` as in `part`."""
    names = tuple(renamed.items())

    def step(path: str) -> _Step:
        head, container, name = _split(path)
        return lambda at: tuple(
            found for item in _head(at, head).items(container, name) if (found := read(noun, item, names))
        )

    return _declare(step, path, default=())


def part(noun: type[_Noun], under: str = "", **renamed: str) -> Any:
    """
    Declare a noun whose fields stand among the holder's own, or `under` a head.

    Args:
        renamed: the tags that its fields have here, where they differ; an empty one is not read.
    """
    names = tuple(renamed.items())
    return _declare(lambda: lambda at: read(noun, _head(at, under), names))


def part_if_any(noun: type[_Noun], under: str = "") -> Any:
    """Declare such a noun that is None unless one of its fields is there."""

    def step(at: Element) -> Any:
        found = read(noun, _head(at, under))
        return None if found == noun() else found

    return _declare(lambda: step)


def read(noun: type[_Noun], at: Element, renamed: _Renamed = ()) -> _Noun:
    """Return a noun, each of its fields read from where it says."""
    return noun(**read_fields(noun, at, renamed))


def read_fields(noun: type[_Noun], at: Element, renamed: _Renamed = ()) -> dict[str, Any]:
    """Return what the fields of a noun are read as, by name; those that say no place are left out."""
    return {name: step(at) for name, step in _steps(cast("Any", noun), renamed)}


@cache
def _steps(noun: Any, renamed: _Renamed) -> tuple[tuple[str, _Step], ...]:
    """Return how each field of a noun is read; those without a tag are left out."""
    names = dict(renamed)
    placed = [field for field in dataclasses.fields(noun) if field.metadata]
    paths = [[names[field.name]] if field.name in names else field.metadata["paths"] for field in placed]
    return tuple(
        (field.name, field.metadata["step"](*tags)) for field, tags in zip(placed, paths, strict=True) if "" not in tags
    )


def _split(path: str) -> tuple[str, str, str]:
    """Return the head, the container and the tag of a path; either of the first two may be empty."""
    *holders, name = path.split("/")
    head = holders.pop(0) if holders and holders[0] in HEADS else ""
    return head, "/".join(holders), name


def _head(at: Element, head: str) -> Element:
    return at.heads[head] if head else at


def _single(method: str) -> Callable[[str], _Step]:
    def step(path: str) -> _Step:
        head, container, name = _split(path)
        take = methodcaller(method, name)
        if container:
            return lambda at: next(map(take, at.each(container)), None)
        return (lambda at: take(at.heads[head])) if head else take

    return step


def _first(*paths: str) -> _Step:
    steps = [_single("text")(path) for path in paths]
    return steps[0] if len(steps) == 1 else lambda at: next(filter(None, (step(at) for step in steps)), None)
