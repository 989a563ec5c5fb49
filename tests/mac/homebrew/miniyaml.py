"""The YAML that Colima and Lima write and people edit: block maps and lists, scalars, flow JSON.

No anchors, no multi-line scalars. Malformed text raises :class:`YamlError` as go-yaml would.
"""

import json
import re
from typing import Any

KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#'"\[\]{},][^#]*?)\s*:(?:\s+(.*))?$""")
PLAIN = re.compile(r"(?!- )[A-Za-z0-9_/$~.-][A-Za-z0-9 _./@+~$=:-]*")
WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


class YamlError(ValueError):
    """The text is not YAML (or more of it than this module knows)."""


def scalar(text: str, number: int) -> Any:
    """The value of one scalar or flow collection."""
    text = text.strip()
    if text in WORDS:
        return WORDS[text]
    if text[0] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            pass
        if (text[0], text[-1]) in (("[", "]"), ("{", "}")):
            items = [item for item in text[1:-1].split(",") if item.strip()]
            if text[0] == "[":
                return [scalar(item, number) for item in items]
            pairs = (item.partition(":") for item in items)
            return {str(scalar(key, number)): scalar(value, number) for key, _, value in pairs}
        raise YamlError(f"yaml: line {number}: did not find expected node content")
    if text[0] == '"':
        try:
            return json.loads(text)
        except ValueError:
            raise YamlError(f"yaml: line {number}: found unexpected end of stream") from None
    if text[0] == "'":
        if len(text) < 2 or text[-1] != "'":
            raise YamlError(f"yaml: line {number}: found unexpected end of stream")
        return text[1:-1].replace("''", "'")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def load(text: str) -> Any:
    """Parse a document."""
    lines: list[tuple[int, int, str]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#(?=([^\"']*[\"'][^\"']*[\"'])*[^\"']*$).*", "", raw).rstrip()
        if line and line != "---":
            if line.lstrip(" ").startswith("\t"):
                message = "found character that cannot start any token"
                raise YamlError(f"yaml: line {number}: {message}")
            lines.append((number, len(line) - len(line.lstrip(" ")), line.strip()))
    value, rest = block(lines, 0)
    if rest:
        raise YamlError(f"yaml: line {rest[0][0]}: did not find expected key")
    return value


def block(lines: list[tuple[int, int, str]], least: int) -> tuple[Any, list[tuple[int, int, str]]]:
    """The collection that starts at the first line, when that is indented enough."""
    if not lines or lines[0][1] < least:
        return None, lines
    indent = lines[0][1]
    if lines[0][2] == "-" or lines[0][2].startswith("- "):
        items: list[Any] = []
        while lines and lines[0][1] == indent and re.match(r"-( |$)", lines[0][2]):
            number, _, text = lines[0]
            inner = text[1:].lstrip()
            if inner and KEY.match(inner):
                deeper = indent + len(text) - len(inner)
                value, lines = block([(number, deeper, inner), *lines[1:]], deeper)
            elif inner:
                value, lines = scalar(inner, number), lines[1:]
            else:
                value, lines = block(lines[1:], indent + 1)
            items.append(value)
        return items, lines
    pairs: dict[str, Any] = {}
    while lines and lines[0][1] == indent:
        number, _, text = lines[0]
        found = KEY.match(text)
        if not found:
            raise YamlError(f"yaml: line {number}: could not find expected ':'")
        key, lines = str(scalar(found[1], number)), lines[1:]
        if found[2]:
            pairs[key] = scalar(found[2], number)
        elif lines and lines[0][1] == indent and re.match(r"-( |$)", lines[0][2]):
            pairs[key], lines = block(lines, indent)
        else:
            pairs[key], lines = block(lines, indent + 1)
    if lines and lines[0][1] > indent:
        raise YamlError(f"yaml: line {lines[0][0]}: mapping values are not allowed in this context")
    return pairs, lines


def write_scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    text = str(value)
    plain = PLAIN.fullmatch(text) and text == text.strip() and ": " not in text
    if plain and text[-1] != ":" and isinstance(scalar(text, 0), str):
        return text
    return json.dumps(text, ensure_ascii=False)


def dump(value: Any, indent: int = 0) -> str:
    """The block form of a map or list."""
    pad = "  " * indent
    lines: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list) and item:
                lines.append(f"{pad}{write_scalar(key)}:\n{dump(item, indent + 1)}")
            else:
                lines.append(f"{pad}{write_scalar(key)}: {write_scalar(item)}\n")
    else:
        for item in value:
            if isinstance(item, dict | list) and item:
                lines.append(f"{pad}- {dump(item, indent + 1).lstrip()}")
            else:
                lines.append(f"{pad}- {write_scalar(item)}\n")
    return "".join(lines)
