"""What holds for every fact: its arguments are quoted, and an answer cut off is never taken for one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from pyinfra.api import FactBase, FactProcessError, StringCommand

import facts

NASTY = "a b; $(touch /tmp/x) `id` 'q' \"d\" \\ \n*"
GIVEN: dict[str, Any] = {"str": NASTY, "int": 7}


def every() -> list[Any]:
    modules = [importlib.import_module(f"facts.{each.name}") for each in pkgutil.iter_modules(facts.__path__)]
    found = [
        each
        for module in modules
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, FactBase) and each.__module__ == module.__name__
        # All that can be told is whatever was told.
        if each.__name__ != "Diagnostics"
    ]
    assert len(found) > 15
    return found


@pytest.mark.parametrize("fact", every())
def test_its_arguments_are_quoted(fact: Any) -> None:
    parameters = list(inspect.signature(fact.command).parameters.values())[1:]
    arguments = {each.name: GIVEN[each.annotation] for each in parameters if each.annotation in GIVEN}
    command = fact().command(**arguments)
    assert isinstance(command, StringCommand)
    # Once each value is quoted nothing of it is left for the shell to read.
    raw = command.get_raw_value()
    assert raw.count("touch /tmp/x") == raw.count(quoted(NASTY)) >= list(arguments.values()).count(NASTY)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


@pytest.mark.parametrize("fact", every())
@pytest.mark.parametrize("output", [["x=1"], ["[x 0]", "|x"], ["|{}"]])
def test_an_answer_cut_off_is_none(fact: type[FactBase[Any]], output: list[str]) -> None:
    """Any other exception would end the run of every host."""
    with pytest.raises(FactProcessError):
        fact().process(output)


@pytest.mark.parametrize("fact", every())
def test_no_answer_is_unreadable(fact: type[FactBase[Any]]) -> None:
    assert fact.default() is None
