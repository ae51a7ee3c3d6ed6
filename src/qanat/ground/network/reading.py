"""Reading a network from YAML text. Every error names file, line and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qanat.ground.data import list_names
from qanat.ground.errors import NetworkFileError
from qanat.ground.network.contradictions import contradictions
from qanat.ground.network.description import Network
from qanat.ground.network.modules import DRIVERS
from qanat.ground.network.part import Part
from qanat.ground.network.wiring import Contradiction
from qanat.ground.network.wording import fields_meant, worded

P = TypeVar("P", bound=Part)
_FIRST_LINE = "begin with 'format: qanat-network/1'; `qanat demo` shows a packaged network at work"
_TAG_PREFIX = "tag:yaml.org,2002:"
_TEXT_TAG = f"{_TAG_PREFIX}str"
_TAGS: Mapping[type[yaml.Node], frozenset[str]] = {
    yaml.MappingNode: frozenset({"map"}),
    yaml.SequenceNode: frozenset({"seq"}),
    yaml.ScalarNode: frozenset({"str", "int", "float", "bool", "null"}),
}


def _nothing_more(_network: Network) -> Iterator[Contradiction]:
    return iter(())


def parse_network(
    text: str, *, source: str, folder: str = "", more: Callable[[Network], Iterator[Contradiction]] = _nothing_more
) -> Network:
    """Return the network that ``text`` describes; ``source`` is its file name, for errors, ``folder`` the one that the
    files it names are looked for from, by its whole path: in the network theirs are whole too. Without one they stay as
    they are. ``more``: yields what else is wrong with one that is consistent, such as names of systems, which nobody
    here knows.

    Raises NetworkFileError for text that is no YAML or uses its odder parts (aliases, tags, dates), fields that are
    missing, unknown or out of range, names used twice, references to nothing, a fibre shorter than the way, and
    sites without any link, with all that a look finds as its ``others``. A network in several parts is read: its review
    says so.
    """
    network, faults = examined(text, source=source, folder=folder, more=more)
    if faults:
        raise NetworkFileError.of_all(faults)
    return network


def examined(
    text: str, *, source: str, folder: str = "", more: Callable[[Network], Iterator[Contradiction]] = _nothing_more
) -> tuple[Network, tuple[NetworkFileError, ...]]:
    """Return the network of a text whose fields hold one by one, as ``parse_network`` does, and what is wrong with it.

    One with faults can be counted and no more: its references may lead nowhere. What ``more`` yields is looked for
    where nothing else is wrong. Raises NetworkFileError for what is no YAML, and for fields."""
    root, network = read_described(text, Network, source=source, advice=_FIRST_LINE)
    if folder:
        network = _with_files_from(folder, network)
    found = list(contradictions(network)) or list(more(network))
    faults = [
        NetworkFileError(message, source=source, line=_line(root, path), remedy=remedy)
        for message, path, remedy in found
    ]
    return network, tuple(faults)


def _with_files_from(folder: str, network: Network) -> Network:
    """Return a network whose satellites name files of elements by whole paths, from a folder where they did not."""
    packaged = list_names("orbits", ".tle")
    sites = tuple(
        site.model_copy(update={"elements": f"{folder}/{said}"})
        if (said := site.elements) and not (said[0] == "/" or "\n" in said.strip() or said.lower() in packaged)
        else site
        for site in network.sites
    )
    if sites == network.sites:
        return network
    fields = {name: getattr(network, name) for name in Network.model_fields}
    return Network.model_validate({**fields, "links": network.described_links, "sites": sites})


def read_described(text: str, kind: type[P], *, source: str, advice: str) -> tuple[yaml.Node, P]:
    """Return the part that a YAML text describes, with the text's tree; ``advice``: how such a file begins.

    Raises NetworkFileError with the line of what is wrong: of the first thing in YAML, of all fields.
    """
    root = _compose(text, source, advice)
    try:
        return root, kind.model_validate(yaml.SafeLoader("").construct_document(root))
    except ValidationError as fault:
        found = fault.errors(include_url=False)
        raise NetworkFileError.of_all(
            [_told(one, found, kind, root=root, source=source) for one in _worth_telling(found, kind)]
        ) from None


def _worth_telling(faults: Sequence[ErrorDetails], kind: type[P]) -> Sequence[ErrorDetails]:
    """Return the faults in the order of telling, without those that follow from another.

    Another format is another kind of file, whose fields are all unknown here. A misspelt field is two faults, one
    unknown and one missing: the unknown one shows where to look. A list whose parts have faults counts as empty.
    """
    if others := [one for one in faults if one["loc"] == ("format",)]:
        return others
    unknown = [one for one in faults if one["type"] == "extra_forbidden"]
    meant = {(*one["loc"][:-1], name) for one in unknown for name in fields_meant(one, faults, kind)}
    rest = [one for one in faults if one["type"] != "extra_forbidden" and one["loc"] not in meant]
    inside = {one["loc"][:size] for one in faults for size in range(len(one["loc"]))}
    return [*unknown, *(one for one in rest if one["type"] != "too_short" or one["loc"] not in inside)]


def _told(
    fault: ErrorDetails, faults: Sequence[ErrorDetails], kind: type[P], *, root: yaml.Node, source: str
) -> NetworkFileError:
    at: list[str | int] = [
        part
        for before, part in zip((None, *fault["loc"]), fault["loc"], strict=False)
        if not isinstance(part, str) or not (part.startswith("function-") or _is_tag(before, part))
    ]
    message, remedy = worded(fault, faults, kind)
    where = ".".join(map(str, at)) or "the file"
    return NetworkFileError(f"{where}: {message}", source=source, line=_line(root, at), remedy=remedy)


def line_of(root: yaml.Node, path: Sequence[str | int]) -> int:
    """Return the line of a text that ``path`` names in its tree, or of the nearest thing around it."""
    return _line(root, path)


def _is_tag(before: str | int | None, part: str) -> bool:
    """Return whether a part of a path is pydantic's word for which kind of modules was meant, and no field."""
    return before == "modules" and part in DRIVERS


def _compose(text: str, source: str, advice: str) -> yaml.Node:
    try:
        root = _composed(text)
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else None
        raise NetworkFileError(
            f"no YAML: {fault.problem}", source=source, line=line, remedy="look at indentation and colons"
        ) from None
    except (yaml.YAMLError, RecursionError) as fault:
        first_line = str(fault).splitlines()[0]
        raise NetworkFileError(
            f"no YAML: {first_line}", source=source, line=1, remedy="write it as plain text, not nested without end"
        ) from None
    if not isinstance(root, yaml.MappingNode):
        raise NetworkFileError(
            "such a file is a mapping of fields, and this file is none",
            source=source,
            line=1,
            remedy=advice,
        )
    for node, message, remedy in _oddities(root, set(), yaml.SafeLoader("")):
        raise NetworkFileError(message, source=source, line=node.start_mark.line + 1, remedy=remedy)
    return root


def _composed(text: str) -> yaml.Node | None:
    """Return the tree of a text. libyaml is ten times as fast where it is; the words of its errors are others."""
    if yaml.__with_libyaml__:
        try:
            return yaml.compose(text, Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, UnicodeError, RecursionError):
            pass  # whatever it was, the other reader tells it in words that are the same everywhere
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _oddities(node: yaml.Node, seen: set[int], loader: yaml.SafeLoader) -> Iterator[tuple[yaml.Node, str, str]]:
    """Yield (where, what, remedy) of YAML that a network file has no use for; what is left, a constructor can take."""
    if id(node) in seen:
        yield node, "an alias stands for this part elsewhere", "write it out where it is used"
        return
    seen.add(id(node))
    if node.tag.removeprefix(_TAG_PREFIX) not in _TAGS[type(node)]:
        yield (
            node,
            f"a value of the kind {node.tag.removeprefix(_TAG_PREFIX)!r}",
            "put it in quotes, or write it plainly",
        )
    elif isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield key, "a key that is no word", "keys are names of fields"
            elif key.value in names:
                yield key, f"{key.value!r} stands twice", "keep one of the two"
            else:
                names.add(key.value)
                yield from _oddities(key, seen, loader)
                yield from _oddities(value, seen, loader)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _oddities(item, seen, loader)
    elif node.tag != _TEXT_TAG and not _can_be_read(node, loader):
        yield node, f"{node.value[:40]!r} is no value", "put it in quotes, or write it plainly"


def _can_be_read(scalar: yaml.Node, loader: yaml.SafeLoader) -> bool:
    try:
        loader.construct_object(scalar)
    except (ValueError, KeyError):
        return False  # "!!int many", or a number of thousands of digits
    return True


def _line(node: yaml.Node, path: Sequence[str | int]) -> int:
    """Return the line of what ``path`` names, or of the nearest thing around it."""
    line = node.start_mark.line + 1
    for part in path:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    found, line = value, key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line + 1
        if found is None:
            return line
        node = found
    return line
