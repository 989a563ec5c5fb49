"""What can be told of the scripts without running them: POSIX sh, a Mac's tools, and each by its path."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import files

SCRIPTS = sorted(
    str(path.relative_to(files.HERE))
    for each in ("bin", "daemons", "facts", "install", "refuse")
    for path in ([files.HERE / each] if (files.HERE / each).is_file() else (files.HERE / each).iterdir())
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
        "awk basename caffeinate cmp comm curl cut defaults diff dirname dscl du env false fdesetup file "
        "find fold grep gzip head iconv id install join logger mktemp nc nice nohup od pgrep perl pkill "
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
ASKS_THE_GUEST = {"facts/guest"}

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


# A Mac's awk is the one true awk; elsewhere it has a name of its own.
AWK = "/usr/bin/awk" if sys.platform == "darwin" else "original-awk"
BLANK, WORD = r"(?:\s|\\\n)+", r"""(?:'[^']*'|"[^"]*"|[^\s'"])+"""
AWK_CALL = re.compile(rf"/usr/bin/awk(?:{BLANK}-[Fv] *{WORD})*{BLANK}'([^']*)'(?=[\s;|)]|$)")


def program(name: str) -> str:
    """The script as it is sent, without comments and continued lines."""
    return re.sub(r"(?m)(^|(?<=\s))#.*$", "", files.text(name)).replace("\\\n", " ")


def shell(name: str) -> str:
    """The script's own words: without comments and quoted text (so perl, awk, sed), but with "$(...)"."""
    text = re.sub(r"\$\(\((?:[^()$]|\([^()]*\))*\)\)", "0", program(name))
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


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing_in_what_is_sent(name: str, tmp_path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    sent = tmp_path / "script"
    sent.write_text(files.text(name))
    # What a library sets, or takes, that this script does not use; functions that are another one's argument.
    also = "" if "read_settings()" in files.text(name) else ",SC2154"
    command = [
        str(shellcheck),
        "--norc",
        "--shell=sh",
        "--extended-analysis=false",
        f"--exclude=SC2034,SC2119,SC2120,SC2329{also}",
        str(sent),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_foreign_to_a_mac(name: str) -> None:
    commands = re.findall(r"bin/([a-z][^|;&)\n]*)", program(name))
    found = [(each, why) for each in commands for form, why in FOREIGN.items() if re.match(form, each)]
    found += [(each, "gawk") for each in re.findall(GAWK, program(name))]
    found += [(match[0], "bash") for form in BASH for match in re.finditer(form, shell(name))]
    if name not in ASKS_THE_GUEST:
        # A guest's unit is no text that could hold one.
        echoed = re.findall(r'\becho "(?!\$unit)[^"\n]*\$(?!\?|[A-Z_]+")', program(name))
        found += [(each, "echo expands backslashes: printf") for each in echoed]
        found += [(each, "Linux") for each in re.findall(r"(?<![\w.])/proc\b", program(name))]
    assert found == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_awk_program_is_one_word_that_a_macs_awk_can_read(name: str) -> None:
    assert shutil.which(AWK), f"this test needs {AWK}: sh tests/mac/prepare"
    text = files.text(name)
    programs = AWK_CALL.findall(text)
    assert len(programs) == text.count("/usr/bin/awk"), "write it as one single-quoted word"
    for each in programs:
        read = subprocess.run([AWK, each], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert read.stderr == "", each


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_path_of_a_command_is_where_a_mac_has_it(name: str) -> None:
    used = set(re.findall(r"(?<![\w/)}.])(?:/usr)?/s?bin/[\w-]+", program(name)))
    assert used - PLACES == set()


# What takes a function as an argument, and calls it.
CALLS = re.compile(r"(?<![\w/.$-])(?:told|gone \S+|signal_each \S+|await \S+ \S+) (?P<function>[a-z]\w*)")


# The pulse takes single steps, and calls nothing that collects diagnostics.
NOT_CALLED = {"daemons/pulse": {"keep_diagnostics"}}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_called_is_there(name: str) -> None:
    """Every command by its path, and every function with its library."""
    text = shell(name)
    there = set(functions(text))
    # A word where a command begins: after an operator or a reserved word, and after assignments.
    calls = re.sub(r"(?m)(^|\bin)\s*[\w\"*.-]+(?: \| [\w\"*.-]+)+\)", ";", text)
    calls = re.sub(r"(?<![\w.$-])(then|do|else|elif|if|while|until|exec)(?=\s)", ";", calls)
    begins = r"(?:^|[;&|(!{])\s*(?:\w+=[^\s(;&|]*\s+)*"
    words = set(re.findall(rf"(?m){begins}([a-z_][\w.-]*)(?=[\s;]|$)", calls))
    words |= set(re.findall(r"\$\(([a-z_][\w.-]*)\)", calls))
    words |= {match["function"] for match in CALLS.finditer(text)}
    assert words - there - BUILTINS == NOT_CALLED.get(name, set())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_what_it_is(name: str) -> None:
    first, second, *_ = files.text(name).splitlines()
    # What runs for ever starts the faster one.
    assert first == ("#!/bin/dash" if name == "daemons/pulse" else "#!/bin/sh")
    assert second.startswith("# ")
    # Bytes that are no text in the caller's locale end a Mac's sed, tr and awk; launchd has none.
    assert ("export LC_ALL=C" in files.text(name)) != (name.startswith("daemons") or name in ("refuse",))
    assert not re.search(r"(?m)^# lib/\w+$", files.text(name))


def test_the_functions_of_the_libraries() -> None:
    """Each has a name of its own in every script, and some script uses it."""
    for name in SCRIPTS:
        assert sorted(functions(files.text(name))) == sorted(set(functions(files.text(name)))), name
    found = {each for name in LIBRARIES for each in functions((files.HERE / "lib" / name).read_text())}
    everything = "".join(map(files.sent, SCRIPTS))
    assert [each for each in found if not re.search(rf"\b{each}\b(?!\(\))", everything)] == []


def test_a_library_does_nothing_by_itself() -> None:
    for name in LIBRARIES:
        text = (files.HERE / "lib" / name).read_text()
        assert text.startswith("# shellcheck shell=sh\n# ")
        function = r"^\w+\(\) [{(](?: [^\n]* |\n.*?^)[})]$"
        variables = r"^\w+=(?:'[^']*'|\S*)(?: \w+=\S*)*$"
        outside = re.sub(rf"(?ms)^#[^\n]*$|{function}|{variables}", "", text)
        assert outside.split() == [], name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself(name: str, tmp_path: Path) -> None:
    command = tmp_path / Path(name).name
    command.write_text(files.text(name))
    done = subprocess.run(["dash", str(command), "-h"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf"(?<![\w-]){command.name} LABEL\b", done.stdout)
    assert re.match(r"[A-Z]", done.stdout)
    done = subprocess.run(["dash", str(command)], capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (
        64,
        [f"usage: {command.name} LABEL ...; {command.name} -h says more"],
    )


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (test_what_is_called_is_there, line)
        for line in (
            "timeout 5 cmd",
            "  ps -e | grep x",
            "x=$(date)",
            "A=1 B=2 tail f",
            "exec docker ps",
            "cmd() { colima stop; }",
            "while sleep 1; do :; done",
            "told nothing_of_this_name",
        )
    ]
    + [
        (test_nothing_foreign_to_a_mac, line)
        for line in (
            "/usr/bin/sed -i s/a/b/ f",
            "/usr/bin/stat -c %s f",
            "/usr/bin/readlink -f x",
            "/usr/bin/grep -oP x",
            "/bin/date +%s%N",
            "[[ a ]]",
            "local x=1",
            'echo "home=$home"',
            "/usr/bin/head -n -1 f",
            "/bin/rm --force x",
            "x=${y//a/b}",
            "/usr/bin/awk '{ print systime() }'",
        )
    ]
    + [
        (test_an_awk_program_is_one_word_that_a_macs_awk_can_read, line)
        for line in (
            "/usr/bin/awk '{ print a == b ? 1 : 2 }' f",
            """/usr/bin/awk "{ print $1 }\"""",
            """/usr/bin/awk '{ print }'"$more" f""",
            "/usr/bin/awk -f program f",
        )
    ],
)
def test_the_checks_see_what_they_are_for(check: Any, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "text", lambda name: f"set -u\n{line}\n")
    with pytest.raises(AssertionError):
        check("any")
