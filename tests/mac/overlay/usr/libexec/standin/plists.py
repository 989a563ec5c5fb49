"""plutil(1), defaults(1) and xattr(1) of macOS, as far as scripts use them."""

from __future__ import annotations

import json
import os
import plistlib
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

PLUTIL_USAGE = """plutil: [command_option] [other_options] file...
The file '-' means stdin
"""
UNREADABLE = "file does not exist or is not readable or is not a regular file"
OUTPUT = {"xml1": plistlib.FMT_XML, "binary1": plistlib.FMT_BINARY}
TYPES = {str: "string", bool: "bool", int: "integer", float: "float", dict: "dictionary"}
TYPES |= {list: "array", bytes: "data", datetime: "date"}


def record(name: str, arguments: Sequence[str]) -> None:
    """Append `epoch TAB uid TAB pid TAB argv...` to commands.log, when there is one."""
    log = Path(os.environ.get("STANDIN_DB", "/private/var/db/standin"), "commands.log")
    words = [word.replace("\n", "\\n").replace("\t", "\\t") for word in (name, *arguments)]
    line = "\t".join([str(int(time.time())), str(os.geteuid()), str(os.getpid()), *words])
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    except OSError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(line + "\n")


def load(file: str) -> Any:
    """The property list in `file` (`-`: stdin); ValueError in plutil's words when it is none."""
    if file == "-":
        content = sys.stdin.buffer.read()
    else:
        try:
            content = Path(file).read_bytes()
        except OSError:
            raise ValueError(UNREADABLE) from None
    try:
        return plistlib.loads(content)
    except Exception as error:  # plistlib lets through what expat and struct raise
        try:
            return json.loads(content)
        except ValueError:
            line = re.search(r"line (\d+)", str(error))
            where = f" on line {line[1]}" if line else ""
            raise ValueError(
                "Property List error: Unexpected character at line 1 / JSON error: "
                f"JSON text did not start with array or object.{where}"
            ) from None


def find(value: Any, path: str) -> Any:
    """The value at a key path such as `EnvironmentVariables.PATH` or `ProgramArguments.0`."""
    for key in re.split(r"(?<!\\)\.", path):
        key = key.replace("\\.", ".")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise LookupError(path) from None
    return value


def raw(value: Any) -> str:
    """`-extract KEY raw`: a count for a collection, the bare value otherwise."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "\n".join(value)
    if isinstance(value, list):
        return str(len(value))
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else str(value)


def pretty(value: Any, indent: int = 0) -> str:
    """`plutil -p`: for humans."""
    pad = "  " * (indent + 1)
    if isinstance(value, dict):
        rows = [f'{pad}"{key}" => {pretty(value[key], indent + 1)}\n' for key in sorted(value)]
        return "{\n" + "".join(rows) + "  " * indent + "}"
    if isinstance(value, list):
        rows = [f"{pad}{n} => {pretty(item, indent + 1)}\n" for n, item in enumerate(value)]
        return "[\n" + "".join(rows) + "  " * indent + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"{{length = {len(value)}, bytes = 0x{value.hex()}}}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def encode(value: Any, form: str) -> bytes:
    """`value` in one of plutil's formats; TypeError when JSON cannot hold it."""
    if form == "json":
        return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()
    return plistlib.dumps(value, fmt=OUTPUT[form], sort_keys=True)


def plutil(arguments: Sequence[str]) -> int:
    """-lint, -convert FORMAT, -extract KEYPATH FORMAT, -type KEYPATH, -p; -o, -s, -r, -expect."""
    record("plutil", arguments)
    words = list(arguments)
    command, operands, files = "-lint", [], []
    output = expected = ""
    silent = False
    takes = {"-lint": 0, "-p": 0, "-convert": 1, "-extract": 2, "-type": 1}
    while words:
        word = words.pop(0)
        if word in takes:
            command, operands = word, words[: takes[word]]
            del words[: takes[word]]
        elif word in ("-o", "-e", "-expect") and words:
            value = words.pop(0)
            output, expected = (value, expected) if word == "-o" else (output, value)
        elif word == "-s":
            silent = True
        elif word in ("-r", "-n"):
            pass
        elif word == "--":
            files += words
            break
        elif word.startswith("-") and word != "-":
            sys.stderr.write(f"unrecognized option: {word}\n{PLUTIL_USAGE}")
            return 1
        else:
            files.append(word)
    if len(operands) < takes[command] or not files:
        sys.stderr.write(f"No files specified.\n{PLUTIL_USAGE}")
        return 1
    status = 0
    for file in files:
        try:
            one(command, operands, file, output, expected, silent)
        except LookupError as error:
            print(f"{file}: Could not extract value, error: No value at that key path or invalid "
                  f"key path: {error}", file=sys.stderr)  # fmt: skip
            status = 1
        except (ValueError, TypeError) as error:
            # Lint says it on stdout, the others on stderr.
            stream = sys.stdout if command == "-lint" else sys.stderr
            print(f"{file}: {error}", file=stream)
            status = 1
    return status


def one(command: str, operands: Sequence[str], file: str, output: str, expected: str, silent: bool) -> None:
    """One command on one file."""
    value = load(file)
    if command == "-lint":
        if not silent:
            print(f"{'<stdin>' if file == '-' else file}: OK")
        return
    if command == "-p":
        print(pretty(value))
        return
    if command in ("-extract", "-type"):
        value = find(value, operands[0])
        kind = TYPES.get(type(value), "any")
        if expected and expected != kind:
            raise ValueError(f"Value at [{operands[0]}] expected to be {expected} but is {kind}")
        if command == "-type":
            print(kind)
            return
    form = operands[-1]
    if form == "raw":
        content = (raw(value) + "\n").encode()
    elif form in ("json", *OUTPUT):
        try:
            content = encode(value, form)
        except (TypeError, OverflowError):
            raise ValueError("Invalid object in plist for JSON format") from None
    else:
        raise ValueError(f"Unknown format specifier: {form}")
    if output == "-" or (form == "raw" and not output):
        sys.stdout.buffer.write(content)
    else:
        Path(output or file).write_bytes(content)


def defaults(arguments: Sequence[str]) -> int:
    """`defaults read DOMAIN [KEY]` of a file named by its path; nothing is written."""
    record("defaults", arguments)
    if len(arguments) < 2 or arguments[0] not in ("read", "read-type"):
        sys.stderr.write("Command line interface to a user's defaults.\n")
        return 255
    domain, key = arguments[1], (arguments[2] if len(arguments) > 2 else "")
    stamp = time.strftime("%Y-%m-%d %H:%M:%S.000 defaults") + f"[{os.getpid()}:1] "
    if not domain.startswith("/"):
        domain = str(Path("~/Library/Preferences", domain).expanduser())
    file = domain if domain.endswith(".plist") else domain + ".plist"
    try:
        value = load(file)
        value = value[key] if key else value
    except (ValueError, KeyError, TypeError):
        pair = f"The domain/default pair of ({arguments[1]}, {key}) does not exist"
        missing = pair if key else f"\nDomain {arguments[1]} does not exist"
        print(f"{stamp}{missing}", file=sys.stderr)
        return 1
    if arguments[0] == "read-type":
        print("Type is " + TYPES.get(type(value), "string").replace("bool", "boolean"))
    elif isinstance(value, bool):
        print(int(value))
    else:
        print(pretty(value) if isinstance(value, (dict, list)) else raw(value))
    return 0


def xattr(arguments: Sequence[str]) -> int:
    """-l, -p NAME, -w NAME VALUE, -d NAME, -c; kept in the `user.` attributes of Linux."""
    record("xattr", arguments)
    words = list(arguments)
    flags = ""
    while words and re.fullmatch(r"-[lrsvxpwdc]+", words[0]):
        flags += words.pop(0)[1:]
    if words and words[0].startswith("-"):
        print(f"xattr: option {words[0]} not recognized", file=sys.stderr)
        return 1
    verb = next((flag for flag in flags if flag in "pwdc"), "l")
    count = {"p": 1, "d": 1, "w": 2}.get(verb, 0)
    operands, files = words[:count], words[count:]
    status = 0
    for file in files:
        if not os.path.lexists(file):
            print(f"xattr: No such file: {file}", file=sys.stderr)
            status = 1
            continue
        try:
            names = [n[5:] for n in os.listxattr(file) if n.startswith("user.")]
            if verb == "w":
                os.setxattr(file, f"user.{operands[0]}", operands[1].encode())
            elif verb == "p":
                print(os.getxattr(file, f"user.{operands[0]}").decode("utf-8", "replace"))
            elif verb == "d":
                os.removexattr(file, f"user.{operands[0]}")
            elif verb == "c":
                for name in names:
                    os.removexattr(file, f"user.{name}")
            else:
                print(*(f"{file}: {n}" if len(files) > 1 else n for n in names), sep="\n", end="")
                print(end="\n" if names else "")
        except OSError:
            if "r" not in flags:
                print(f"xattr: {file}: No such xattr: {(operands or ['?'])[0]}", file=sys.stderr)
                status = 1
    return status
