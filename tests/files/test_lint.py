"""What can be told of the scripts without running them: POSIX sh, a Mac's tools, and each by its path."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import files
from tests.files.conftest import AWK, which

SCRIPTS = sorted(
    str(path.relative_to(files.HERE))
    for pattern in ("bin/*", "daemons/*", "facts/*", "install", "refuse")
    for path in files.HERE.glob(pattern)
)
LIBRARIES = sorted(path.name for path in (files.HERE / "lib").iterdir())
COMMANDS = [name for name in SCRIPTS if name.startswith("bin/")]

# Where macOS has the commands that the scripts may use (macOS 12 and newer).
WHERE = {
    "/bin": (
        "bash cat chmod cp date dd df echo expr hostname kill launchctl ln ls mkdir mv ps rm rmdir sh sleep "
        "stty sync zsh"
    ),
    "/sbin": "dmesg ifconfig md5 mount ping reboot shutdown umount",
    "/usr/bin": (
        "awk basename caffeinate cmp codesign comm curl cut defaults diff dirname dscl du env false fdesetup "
        "file find fold grep gzip head iconv id install join logger mktemp nc nice nohup od pgrep perl pkill "
        "plutil pmset printenv printf readlink sed shasum sort stat su sudo sw_vers tail tee touch tr true "
        "tty uname uniq uptime wc xargs xattr"
    ),
    "/usr/sbin": "chown diskutil fdesetup ioreg lsof netstat scutil sysctl system_profiler systemsetup",
}
PLACES = {f"{directory}/{name}" for directory, names in WHERE.items() for name in names.split()}

BUILTINS = set(
    "! . : [ break case cd command continue do done echo elif else esac eval exec exit export false fi for "
    "getopts if in kill printf pwd read return set shift test then times trap true type ulimit umask unset "
    "until wait while { }".split()
)

# What they have the guest do is Linux'.
ASKS_THE_GUEST = {"facts/guest", "lib/maintenance"}

# What only GNU's or a newer Mac's tools know; to the end of that command.
FOREIGN = {
    r"sed\b.*? -(i(?! '')|r|z|-)": "sed -i needs an argument, -r is -E",
    r"stat\b.*? (-c|--)": "stat -f",
    r"readlink\b.*? -[fem]": "since 12.3",
    r"grep\b.*? -\w*P": "no Perl expressions",
    r"date\b.*? (-d|-I|--|\+\S*%N)": "no date -d, no nanoseconds",
    r"ps\b.*? (--|-\w*(ef|C|H)\b)": "BSD's ps",
    r"(mktemp|cp|mv|rm|ln|ls|mkdir|chmod|chown|cat|head|tail|sort|tr|cut|wc|df|du|touch|find|xargs)"
    r"\b.*? --[a-z]": "no long options",
    r"(ln|mv|cp)\b.*? -\w*T": "no -T",
    r"(head|tail)\b.*? -[cn] ?['\"]?-": "no counts from the other end",
    r"xargs\b.*? -\w*[rd]\b": "no -r, no -d",
    r"find\b.*? -(printf|regextype|readable)": "no -printf",
    r"sort\b.*? -\w*[hV]\b": "not in older ones",
    r"df\b.*? -\w*[BT]\b": "no -B, no -T",
    r"awk\b.*? --": "no long options",
}
GAWK = r"\b(gensub|strftime|systime|asorti?|PROCINFO|IGNORECASE)\b"
BASH = [
    r"\[\[(?!:)",
    r"(?<![\w/.-])(local|declare|typeset|function|source|pipefail|let|select)(?=\s)",
    r"<<<|[<>]\(|&>|\|&|\$'",
    r"\$\{\w+(\[|//|\^|,|:\d)",
    r"(?m)^\s*\w+\+?=\(",
    r"\becho -[ne]\b",
    r"\bread -[a-qs-z]",
    r"(?<![\w$])\(\(",
]

# What the tests run themselves they run on a Mac as well, but for the stand-in's own.
ALL = Path(__file__).parents[1]
ON_LINUX = re.compile(r"mac/|test_mac_|soak\.py|files/test_lint\.py")
TESTS = [path for path in sorted(ALL.rglob("*.py")) if not ON_LINUX.match(str(path.relative_to(ALL)))]
LINUX = r"(setsid|flock|timeout|truncate|pkill|sha256sum|realpath|tac|nproc|stdbuf)\s"
BEGINS = r"\s*(?:.*\s-exec\s+|(?:exec|command|if|then|do|while|until|!|\{)\s+)*"

BLANK, WORD = r"(?:\s|\\\n)+", r"""(?:'[^']*'|"[^"]*"|[^\s'"])+"""
AWK_CALL = re.compile(rf"/usr/bin/awk(?:{BLANK}-[Fv] *{WORD})*{BLANK}'([^']*)'(?=[\s;|)]|$)")

# What takes a function as an argument, and calls it.
CALLS = re.compile(r"(?<![\w/.$-])(?:told|gone \S+|signal_each \S+|await \S+ \S+) (?P<function>[a-z]\w*)")

# The pulse takes single steps, and calls nothing that collects diagnostics.
NOT_CALLED = {"daemons/pulse": {"keep_diagnostics"}}


def program(text: str) -> str:
    """A script without comments and continued lines."""
    return re.sub(r"(?m)(^|(?<=\s))#.*$", "", text).replace("\\\n", " ")


def shell(text: str) -> str:
    """A script's own words: without comments and quoted text (so perl, awk, sed), but with "$(...)"."""
    text = re.sub(r"\$\(\((?:[^()$]|\([^()]*\))*\)\)", "0", program(text))
    out, inside, i = "", ["("], 0
    while i < len(text):
        char = text[i]
        quoted = inside[-1] == '"'
        if char == "\\":
            i += 1
        elif char == "'" and not quoted:
            i = text.index("'", i + 1)
            out += "''"
        elif char == '"':
            inside = inside[:-1] if quoted else [*inside, '"']
            out += char
        elif text.startswith("$(", i) and not text.startswith("$((", i):
            inside.append("(")
            out += "$("
            i += 1
        elif not quoted:
            if char == ")" and len(inside) > 1:
                inside.pop()
            elif char == "(":
                inside.append("(")
            out += char
        i += 1
    return out


def functions(text: str) -> list[str]:
    """The functions that a text defines, in order."""
    return re.findall(r"(?m)^\s*(\w+)\(\)", text)


def own(name: str) -> str:
    """A script's or a library's own text, without the libraries it names."""
    return (files.HERE / name).read_text()


# Each text is looked at once: the scripts' own, and the libraries'.
TEXTS = [*SCRIPTS, *(f"lib/{name}" for name in LIBRARIES)]


def test_nothing_foreign_to_a_mac() -> None:
    for name in TEXTS:
        plain, words = program(own(name)), shell(own(name))
        commands = re.findall(r"bin/([a-z][^|;&)\n]*)", plain)
        found = [(each, why) for each in commands for form, why in FOREIGN.items() if re.match(form, each)]
        found += [(each, "gawk") for each in re.findall(GAWK, plain)]
        found += [(match[0], "bash") for form in BASH for match in re.finditer(form, words)]
        if name not in ASKS_THE_GUEST:
            # A guest's unit is no text that could hold one.
            echoed = re.findall(r'\becho "(?!\$unit)[^"\n]*\$(?!\?|[A-Z_]+")', plain)
            found += [(each, "echo expands backslashes: printf") for each in echoed]
            found += [(each, "Linux") for each in re.findall(r"(?<![\w.])/proc\b", plain)]
        used = set(re.findall(r"(?<![\w/)}.])(?:/usr)?/s?bin/[\w-]+", plain))
        found += [(each, "not there") for each in used - PLACES]
        assert found == [], name


def test_awk_programs_are_one_word_that_a_macs_awk_can_read() -> None:
    awk = which(AWK)
    assert awk, f"this test needs {AWK}: sh tests/mac/prepare"
    for name in TEXTS:
        programs = AWK_CALL.findall(own(name))
        assert len(programs) == own(name).count("/usr/bin/awk"), f"{name}: write it single-quoted"
        for each in programs:
            read = subprocess.run([awk, each], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            assert read.stderr == "", (name, each)


def texts(node: ast.AST) -> Iterator[str]:
    """The texts in Python code, but for what documents it; with "?" for what an f-string fills in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in child.values)
        elif isinstance(child, ast.Constant) and not isinstance(node, ast.Expr):
            yield str(child.value)
        else:
            yield from texts(child)


def test_what_the_tests_run_is_there_on_a_mac() -> None:
    for path in TESTS:
        for text in texts(ast.parse(path.read_text())):
            pieces = re.split(r"[|;&()\n]", text)
            found = [each for each in pieces for form in (*FOREIGN, LINUX) if re.match(BEGINS + form, each)]
            if path.name != "test_guest.py":  # where it is a guest's
                found += re.findall(r"/proc\b.*", text)
            assert found == [], path.name


def called(text: str) -> set[str]:
    """What is called by a name without a path and is neither a function nor built in."""
    text = shell(text)
    # A word where a command begins: after an operator or a reserved word, and after assignments.
    calls = re.sub(r"(?m)(^|\bin)\s*[\w\"*.-]+(?: +\| +[\w\"*.-]+)+\)", ";", text)
    calls = re.sub(r"(?<![\w.$-])(then|do|else|elif|if|while|until|exec)(?=\s)", ";", calls)
    begins = r"(?:^|[;&|(!{])\s*(?:\w+=[^\s(;&|]*\s+)*"
    words = set(re.findall(rf"(?m){begins}([a-z_][\w.-]*)(?=[\s;]|$)", calls))
    words |= set(re.findall(r"\$\(([a-z_][\w.-]*)\)", calls))
    words |= {match["function"] for match in CALLS.finditer(text)}
    return words - set(functions(text)) - BUILTINS


def test_what_is_called_is_there() -> None:
    """Every command by its path, and every function with its library, whatever calls it."""
    lacks = {name: (functions(own(name)), called(own(name))) for name in TEXTS}
    for name in SCRIPTS:
        libraries = " ".join(re.findall(r"(?m)^# lib: (.*)$", own(name)))
        named = [name, *(f"lib/{each}" for each in libraries.split())]
        defined = [each for text in named for each in lacks[text][0]]
        assert sorted(defined) == sorted(set(defined)), f"{name} has two functions of one name"
        missing = {each for text in named for each in lacks[text][1]} - set(defined)
        assert missing == NOT_CALLED.get(name, set()), name


def test_every_function_of_a_library_is_used() -> None:
    found = {each for name in LIBRARIES for each in functions(own(f"lib/{name}"))}
    everything = "".join(map(files.sent, SCRIPTS))
    assert [each for each in found if not re.search(rf"\b{each}\b(?!\(\))", everything)] == []


def test_a_script_says_what_it_is() -> None:
    for name in SCRIPTS:
        text = files.text(name)
        first, second, *_ = text.splitlines()
        # What runs for ever starts the faster one.
        assert first == ("#!/bin/dash" if name == "daemons/pulse" else "#!/bin/sh"), name
        assert second.startswith("# "), name
        # Bytes that are no text in the caller's locale end a Mac's sed, tr and awk; launchd has none.
        assert ("export LC_ALL=C" in text) != (name.startswith("daemons") or name == "refuse"), name
        assert not re.search(r"(?m)^# lib:", text), name


def test_a_library_does_nothing_by_itself() -> None:
    for name in LIBRARIES:
        text = own(f"lib/{name}")
        assert text.startswith("# shellcheck shell=sh\n# ")
        function = r"^\w+\(\) [{(](?: [^\n]* |\n.*?^)[})]$"
        variables = r"^\w+=(?:'[^']*'|\S*)(?: \w+=\S*)*$"
        outside = re.sub(rf"(?ms)^#[^\n]*$|{function}|{variables}", "", text)
        assert outside.split() == [], name


def test_a_command_explains_itself(tmp_path: Path) -> None:
    for name in COMMANDS:
        command = tmp_path / Path(name).name
        command.write_text(files.text(name))
        done = subprocess.run(["dash", str(command), "-h"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.match(r"[A-Z]", done.stdout)
        assert re.search(rf"(?<![\w-]){command.name} LABEL\b", done.stdout)
    done = subprocess.run(["dash", str(command)], capture_output=True, text=True)
    usage = f"usage: {command.name} LABEL ...; {command.name} -h says more\n"
    assert (done.returncode, done.stderr) == (64, usage)
