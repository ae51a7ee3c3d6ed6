"""Reading a network from YAML text. Every error names file, line and remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import yaml
from pydantic import ValidationError

from qanat.ground.errors import NetworkFileError
from qanat.ground.identifiers import CONTROLLER, MAX_ID_CHARACTERS, urn
from qanat.ground.network.description import Network, great_circle_km, nearest
from qanat.ground.network.modules import DRIVERS
from qanat.ground.network.part import Part
from qanat.ground.network.wording import worded

H = TypeVar("H", bound=Hashable)
P = TypeVar("P", bound=Part)
_FIRST_LINE = "begin with 'format: qanat-network/1'; `qanat demo` shows a packaged network at work"
TAKEN_NAMES: Mapping[str, str] = {
    CONTROLLER: "the network's controller",
    **dict.fromkeys(
        ("addresses", "events.jsonl", "lock", "master.key", "network", "pki", "service.json", "twins"),
        "something else in a data folder, where each site has a folder of its own",
    ),
}
"""What no site may be called, and why."""

_TAG_PREFIX = "tag:yaml.org,2002:"
_TAGS: Mapping[type[yaml.Node], frozenset[str]] = {
    yaml.MappingNode: frozenset({"map"}),
    yaml.SequenceNode: frozenset({"seq"}),
    yaml.ScalarNode: frozenset({"str", "int", "float", "bool", "null"}),
}


def parse_network(text: str, *, source: str) -> Network:
    """Return the network that ``text`` describes; ``source`` is its file name, for errors.

    Raises NetworkFileError for text that is no YAML or uses its odder parts (aliases, tags, dates), fields that are
    missing, unknown or out of range, names used twice, references to nothing, a fibre shorter than the way, and a
    network in two pieces.
    """
    root, network = read_described(text, Network, source=source, advice=_FIRST_LINE)
    for message, path, remedy in _contradictions(network):
        raise NetworkFileError(message, source=source, line=_line(root, path), remedy=remedy)
    return network


def read_described(text: str, kind: type[P], *, source: str, advice: str) -> tuple[yaml.Node, P]:
    """Return the part that a YAML text describes, with the text's tree; ``advice``: how such a file begins.

    Raises NetworkFileError with the line of the first thing that is wrong.
    """
    root = _compose(text, source, advice)
    try:
        return root, kind.model_validate(yaml.SafeLoader("").construct_document(root))
    except ValidationError as fault:
        # another format is another kind of file, whose fields are all unknown here; a misspelt field is two faults, one
        # unknown and one missing: the unknown one shows where to look
        faults = fault.errors(include_url=False)
        first = min(faults, key=lambda one: (one["loc"] != ("format",), one["type"] != "extra_forbidden"))
        at: list[str | int] = [
            part
            for before, part in zip((None, *first["loc"]), first["loc"], strict=False)
            if not isinstance(part, str) or not (part.startswith("function-") or _is_tag(before, part))
        ]
        message, remedy = worded(first, faults, kind)
        raise NetworkFileError(
            f"{'.'.join(map(str, at)) or 'the file'}: {message}",
            source=source,
            line=_line(root, at),
            remedy=remedy,
        ) from None


def line_of(root: yaml.Node, path: Sequence[str | int]) -> int:
    """Return the line of a text that ``path`` names in its tree, or of the nearest thing around it."""
    return _line(root, path)


def _is_tag(before: str | int | None, part: str) -> bool:
    """Return whether a part of a path is pydantic's word for which kind of modules was meant, and no field."""
    return before == "modules" and part in DRIVERS


def _compose(text: str, source: str, advice: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
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
    for node, message, remedy in _oddities(root, set()):
        raise NetworkFileError(message, source=source, line=node.start_mark.line + 1, remedy=remedy)
    return root


def _oddities(node: yaml.Node, seen: set[int]) -> Iterator[tuple[yaml.Node, str, str]]:
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
                yield from _oddities(key, seen)
                yield from _oddities(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _oddities(item, seen)
    elif not _can_be_read(node):
        yield node, f"{node.value[:40]!r} is no value", "put it in quotes, or write it plainly"


def _can_be_read(scalar: yaml.Node) -> bool:
    try:
        yaml.SafeLoader("").construct_object(scalar)
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


def _contradictions(network: Network) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    """Yield (message, path, remedy) of what no single field shows."""
    for field, names in (
        ("sites", [site.name for site in network.sites]),
        ("links", [link.name for link in network.links]),
        ("applications", [app.name for app in network.applications]),
    ):
        for name, place in _repeated(names):
            yield f"the name {name!r} is used twice", (field, place, "name"), "names are unique among their kind"
    yield from _ids_that_do_not_fit(network)
    known = {site.name for site in network.sites}
    for place, link in enumerate(network.links):
        for field, end in (("transmitter", link.transmitter), ("receiver", link.receiver)):
            if end not in known:
                yield f"link {link.name!r} ends at {end!r}, no site", ("links", place, field), nearest(end, known)
        if set(link.ends) <= known:
            way_km = great_circle_km(*(network.site(end) for end in link.ends))
            if link.length_km < 0.99 * way_km:
                yield (
                    f"link {link.name!r} has {link.length_km:g} km of fibre for a way of {way_km:.1f} km",
                    ("links", place, "length_km"),
                    "look at the length and at the coordinates of both sites",
                )
    for place, app in enumerate(network.applications):
        if app.site not in known:
            yield (
                f"application {app.name!r} is at {app.site!r}, no site",
                ("applications", place),
                nearest(app.site, known),
            )
    yield from _unprepared(network)
    yield from _stock_of_nobody(network)
    apart = known - _reached(network)
    if apart:
        yield f"no link leads to {', '.join(sorted(apart))}", ("links",), "join every site to the network by a link"


def _ids_that_do_not_fit(network: Network) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    """Yield, as ``_contradictions`` does, names that are taken, or that make an id too long."""
    excess = len(urn(network.name, "kme", CONTROLLER)) - MAX_ID_CHARACTERS
    if excess > 0:
        yield (
            f"the name has {len(network.name)} characters, too many for the ids that are made of it",
            ("name",),
            f"use at most {len(network.name) - excess}",
        )
    for place, site in enumerate(network.sites):
        if site.name in TAKEN_NAMES:
            yield (
                f"{site.name!r} is the name of {TAKEN_NAMES[site.name]}",
                ("sites", place, "name"),
                "give the site another name",
            )
    named = [("sites", "kme", [site.name for site in network.sites])]
    named.append(("applications", "sae", [app.name for app in network.applications]))
    for field, kind, names in named:
        for place, name in enumerate(names):
            excess = len(urn(network.name, kind, name)) - MAX_ID_CHARACTERS
            if excess > 0:
                yield (
                    f"the id {urn(network.name, kind, name)} would have more than {MAX_ID_CHARACTERS} characters",
                    (field, place, "name"),
                    f"shorten this name, or the network's, by {excess}",
                )


def _unprepared(network: Network) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    """Yield, as ``_contradictions`` does, what stands in the way of preparing keys."""
    sites = {app.name: app.site for app in network.applications}
    for place, keys in enumerate(network.prepared_keys):
        for field, name in (("master", keys.master), ("slave", keys.slave)):
            if name not in sites:
                yield (
                    f"keys are prepared for {name!r}, no application",
                    ("prepared_keys", place, field),
                    nearest(name, sites),
                )
        if keys.master != keys.slave and keys.master in sites and sites[keys.master] == sites.get(keys.slave):
            yield (
                f"keys are prepared for {keys.master!r} and {keys.slave!r}, which are both at {sites[keys.master]!r}",
                ("prepared_keys", place),
                "leave this out: one site's key manager makes their keys at once",
            )
        if keys.master == keys.slave:
            yield (
                f"keys are prepared for {keys.master!r} with itself",
                ("prepared_keys", place, "slave"),
                "name two applications",
            )
    wanted = [(keys.master, keys.slave, keys.size_bits) for keys in network.prepared_keys]
    for (master, slave, size_bits), place in _repeated(wanted):
        yield (
            f"keys of {size_bits} bits are prepared twice for {master!r} and {slave!r}",
            ("prepared_keys", place),
            "add the two counts",
        )


def _stock_of_nobody(network: Network) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    """Yield, as ``_contradictions`` does, rules for the stock of no application, and rules given twice."""
    known = {app.name for app in network.applications}
    for place, rule in enumerate(network.stock.pairs):
        for field, name in (("master", rule.master), ("slave", rule.slave)):
            if name not in known:
                yield f"there is no application {name!r}", ("stock", "pairs", place, field), nearest(name, known)
    for (master, slave), place in _repeated([(rule.master, rule.slave) for rule in network.stock.pairs]):
        yield (
            f"the stock of {master!r} and {slave!r} has two rules",
            ("stock", "pairs", place),
            "keep one of them",
        )


def _repeated(names: Sequence[H]) -> Iterator[tuple[H, int]]:
    for name, count in Counter(names).items():
        if count > 1:
            first = names.index(name)
            yield name, names.index(name, first + 1)


def _reached(network: Network) -> set[str]:
    reached = {network.sites[0].name}
    frontier = list(reached)
    while frontier:
        here = frontier.pop()
        for link in network.links:
            if here in link.ends:
                there = link.receiver if here == link.transmitter else link.transmitter
                if there not in reached:
                    reached.add(there)
                    frontier.append(there)
    return reached
