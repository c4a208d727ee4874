"""Small mistakes in the compiler, made on purpose: would an example, a proof or a comparison of forms notice?

Mutants are made from the source of the functions that compile and evaluate rules: a comparison turned, `and` for `or`,
a mask shifted the other way, a constant one off, `must` for `may`, a branch swapped, an entry of an operator table. The
code of the running function is replaced, so whoever imported it runs the mutant too, and put back afterwards.
"""

from __future__ import annotations
import __future__

import ast
import copy
import importlib
import inspect
import signal
import types
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from policy.proofs.mutation import Fate, Judged

SECONDS = 40
_LONGEST = 90
# Not part of deciding: other languages and the hash, which their own tests hold.
NOT_JUDGED = frozenset({"as_sql", "as_english", "_quoted", "_constant", "_hash"})
_ENTRIES = ("policy.rulings", "policy.answers")
_COMPARES: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_BINARY: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}  # fmt: skip
_TEXTS = {" and ": " or ", " or ": " and ", "==": "!=", "!=": "==", "b": "p", "p": "b"}


@dataclass(frozen=True)
class CodeMutant:
    """One mistake in one function, or in one entry of a table; `apply` makes it and returns how to take it back."""

    kind: str
    where: str
    what: str
    apply: Callable[[], Callable[[], None]]


def compiler_mutants() -> Iterator[CodeMutant]:
    """Mutants of everything between a card's syntax tree and what is answered."""
    return code_mutants(deciding())


def deciding() -> tuple[types.ModuleType, ...]:
    """The modules that decide: the evaluator, and whatever of `policy` the engine imports, however it is cut up."""
    found: dict[str, types.ModuleType] = {"features.evaluate": importlib.import_module("features.evaluate")}
    waiting = list(_ENTRIES)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = importlib.import_module(name)
        nodes = ast.walk(ast.parse(inspect.getsource(found[name])))
        imported = [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
        waiting += [one for one in imported if one.startswith("policy.")]
    return tuple(found[name] for name in sorted(found))


def code_mutants(modules: Sequence[types.ModuleType]) -> Iterator[CodeMutant]:
    """Every mutant of the functions and operator tables of some modules, in the order of their source."""
    for module in modules:
        tree = ast.parse(inspect.getsource(module))
        for owner, node in _functions(tree):
            function = _running(module, owner, node.name)
            if function is not None and node.name not in NOT_JUDGED:
                yield from _of_function(module, function, node)
        for name in ("_OPPOSITE", "_PYTHON", "_UFUNC"):
            table = getattr(module, name, None)
            if isinstance(table, dict):
                yield from _of_table(module, name, table)


def _functions(tree: ast.Module) -> Iterator[tuple[str | None, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield None, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield node.name, inner


def _running(module: types.ModuleType, owner: str | None, name: str) -> types.FunctionType | None:
    found = inspect.getattr_static(getattr(module, owner) if owner else module, name, None)
    for wrapped in ("__func__", "fget", "func", "py_func"):
        found = getattr(found, wrapped, found)
    return found if isinstance(found, types.FunctionType) and not found.__code__.co_freevars else None


def _of_function(module: types.ModuleType, function: types.FunctionType, node: ast.FunctionDef) -> Iterator[CodeMutant]:
    bare = copy.deepcopy(node)
    bare.decorator_list, bare.returns = [], None
    for argument in (*bare.args.args, *bare.args.kwonlyargs):
        argument.annotation = None
    sites = sum(1 for _ in _changes(bare))
    where = f"{module.__name__}.{function.__qualname__}"
    seen: set[str] = set()
    for place in range(sites):
        mutated = copy.deepcopy(bare)
        kind, what, change = next(c for index, c in enumerate(_changes(mutated)) if index == place)
        change()
        made = _compiled(mutated, function)
        if made is None or made.__code__.co_freevars or _same(made, function):
            continue
        while what in seen:
            what += ", once more"
        seen.add(what)
        apply = _uncompiled(module, function, made) if _kernels(module, function) else _replacing(function, made)
        yield CodeMutant(kind, where, what, apply)


def _compiled(node: ast.FunctionDef, function: types.FunctionType) -> types.FunctionType | None:
    tree = ast.fix_missing_locations(ast.Module([node], []))
    flags = __future__.annotations.compiler_flag
    whole = compile(tree, function.__code__.co_filename, "exec", flags=flags, dont_inherit=True)
    scope = dict(function.__globals__)
    exec(whole, scope)  # noqa: S102 - the function's own source with one thing turned
    made = scope[node.name]
    # The same globals as the original, so that a mutant of another function is seen here too.
    return types.FunctionType(made.__code__, function.__globals__, made.__name__, made.__defaults__) if made else None


def _same(made: types.FunctionType, function: types.FunctionType) -> bool:
    return made.__code__ == function.__code__ and made.__defaults__ == function.__defaults__


def _replacing(function: types.FunctionType, made: types.FunctionType) -> Callable[[], Callable[[], None]]:
    def apply() -> Callable[[], None]:
        before = function.__code__, function.__defaults__, function.__kwdefaults__
        function.__code__, function.__defaults__, function.__kwdefaults__ = (
            made.__code__, made.__defaults__, made.__kwdefaults__)  # fmt: skip

        def back() -> None:
            function.__code__, function.__defaults__, function.__kwdefaults__ = before

        return back

    return apply


def _kernels(module: types.ModuleType, function: types.FunctionType) -> dict[str, Any]:
    """The machine-compiled functions of a module by name, where this one is among them."""
    found = {
        name: one for name, one in vars(module).items() if isinstance(getattr(one, "py_func", None), types.FunctionType)
    }
    return found if function.__name__ in found else {}


def _uncompiled(
    module: types.ModuleType, function: types.FunctionType, made: types.FunctionType
) -> Callable[[], Callable[[], None]]:
    """Machine code cannot be replaced, so all kernels of the module run as plain Python, one of them mutated."""

    def apply() -> Callable[[], None]:
        before = _kernels(module, function)
        for name, kernel in before.items():
            setattr(module, name, made if name == function.__name__ else kernel.py_func)

        def back() -> None:
            for name, kernel in before.items():
                setattr(module, name, kernel)

        return back

    return apply


def _changes(node: ast.FunctionDef) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """(kind, what in which words, how) for every place of a function where one small thing can be turned."""
    skip = {
        id(part) for inner in ast.walk(node) if isinstance(inner, ast.AnnAssign) for part in ast.walk(inner.annotation)
    }
    skip |= {id(s.value) for s in ast.walk(node) if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)}
    skip |= {id(p) for r in ast.walk(node) if isinstance(r, ast.Raise) for p in ast.walk(r)}
    above = {id(inner): outer for outer in ast.walk(node) for inner in ast.iter_child_nodes(outer)}
    for part in ast.walk(node):
        found = None if id(part) in skip else _change(part)
        if found is not None:
            kind, what, change = found
            yield kind, f"{_around(part, above)}: {what}", change


def _around(part: ast.AST, above: Mapping[int, ast.AST]) -> str:
    """The words that a part stands in, without their line number, which moves."""
    while not isinstance(part, ast.Compare | ast.BoolOp | ast.BinOp | ast.Call | ast.IfExp | ast.stmt | ast.JoinedStr):
        part = above[id(part)]
    text = " ".join(ast.unparse(part).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _change(part: ast.AST) -> tuple[str, str, Callable[[], None]] | None:
    match part:
        case ast.Compare(ops=[only]) if type(only) in _COMPARES:
            other = _COMPARES[type(only)]
            return "flip an operator", f"{_sign(only)} to {_sign(other())}", lambda: setattr(part, "ops", [other()])
        case ast.BoolOp(op=joined):
            turned = ast.Or if isinstance(joined, ast.And) else ast.And
            return "swap and and or", f"{_sign(joined)} to {_sign(turned())}", lambda: setattr(part, "op", turned())
        case ast.BinOp(op=binary) if type(binary) in _BINARY:
            opposite = _BINARY[type(binary)]
            return (
                "flip an operator",
                f"{_sign(binary)} to {_sign(opposite())}",
                lambda: setattr(part, "op", opposite()),
            )
        case ast.UnaryOp(op=ast.Not() | ast.Invert()):
            return "drop a not", f"without {_sign(part.op)}", lambda: setattr(part, "op", ast.UAdd())
        case ast.IfExp():
            return "swap branches", "if and else swapped", lambda: _swap(part)
        case ast.Constant(value=bool() as flag):
            return "turn a flag", f"{flag} to {not flag}", lambda: setattr(part, "value", not flag)
        case ast.Constant(value=int() as number):
            return "change a value", f"{number} to {number + 1}", lambda: setattr(part, "value", number + 1)
        case ast.Constant(value=str() as text) if text in _TEXTS:
            return "change a word", f"{text!r} to {_TEXTS[text]!r}", lambda: setattr(part, "value", _TEXTS[text])
        case ast.Name(id="must", ctx=ast.Load()):
            return "swap must and may", "not must", lambda: _deny(part)
    return None


def _sign(operator: ast.AST) -> str:
    return type(operator).__name__


def _swap(part: ast.IfExp) -> None:
    part.body, part.orelse = part.orelse, part.body


def _deny(part: ast.Name) -> None:
    """A name becomes its denial: `must` is read as `not must` here."""
    inner = ast.Name(part.id, ast.Load())
    part.__class__ = ast.UnaryOp  # type: ignore[assignment]
    part.op, part.operand = ast.Not(), inner  # type: ignore[attr-defined]


def _of_table(module: types.ModuleType, name: str, table: MutableMapping[str, Any]) -> Iterator[CodeMutant]:
    keys = list(table)
    for key, other in zip(keys, keys[1:] + keys[:1], strict=True):

        def apply(key: str = key, other: str = other) -> Callable[[], None]:
            before = table[key]
            table[key] = table[other]

            def back() -> None:
                table[key] = before

            return back

        yield CodeMutant("operator table", f"{module.__name__}.{name}", f"{key} as {other}", apply)


def judge_code(mutant: CodeMutant, notices: Callable[[], tuple[Fate, str]]) -> Judged:
    """Run the checks under a mutant; whatever raises or does not end has been noticed."""
    back = mutant.apply()
    try:
        with _limited():
            fate, by = notices()
    except Exception as error:  # noqa: BLE001 - a mutant may raise anything, and that is how it is found
        fate, by = "proof", f"raised {type(error).__name__}"
    finally:
        back()
    return Judged(mutant.kind, mutant.where, mutant.what, fate, by)


@contextmanager
def _limited() -> Iterator[None]:
    """End what a mutant made endless; only the main thread can be interrupted so."""

    def stop(*_: object) -> None:
        raise TimeoutError

    # Seconds of this process, not of the clock: a busy machine must not make a survivor look noticed.
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
