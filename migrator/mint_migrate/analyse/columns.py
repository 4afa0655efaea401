"""What can be seen of a data set's columns, and of the functions that make rows."""

from __future__ import annotations

import ast

from mint_migrate.analyse.scopes import ModuleScopes
from mint_migrate.analyse.walk import children, walk
from mint_migrate.model.facts import FunctionFact

ROW_MAKERS = frozenset(
    {"map", "from_list", "from_dict", "from_generator", "add_column", "rename_column"}
)
ROW_READERS = frozenset(
    {"map", "filter", "remove_columns", "select_columns", "sort", "rename_column"}
)

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def column_evidence(tree: ast.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that the script makes and those that it reads, sorted.

    Made: keys of dictionaries returned by functions given to `map`, of rows given to
    `Dataset.from_list` and `from_dict`, and new names in `rename_column`. Read: string subscripts
    in such functions.
    """
    nodes = list(walk(tree))
    functions: dict[str, FunctionNode] = {
        node.name: node
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assigned = {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
    }
    made: set[str] = set()
    read: set[str] = set()
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        method = node.func.attr
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if method in {"map", "filter"}:
            for function in _functions(arguments, functions):
                read |= read_keys(function)
                made |= set(returned_keys(function)) if method == "map" else set()
        elif method in {"from_list", "from_dict", "from_generator"}:
            for argument in arguments:
                made |= _row_keys(argument, assigned, functions)
        elif method == "rename_column" and len(arguments) == 2:
            made |= _strings(arguments[1])
        elif method in ROW_READERS:
            for argument in arguments:
                read |= _strings(argument)
    return tuple(sorted(made)), tuple(sorted(read))


def _functions(arguments: list[ast.expr], functions: dict[str, FunctionNode]) -> list[FunctionNode]:
    """Return the functions among some arguments: lambdas, and those known by name."""
    named = [functions.get(node.id) for node in arguments if isinstance(node, ast.Name)]
    lambdas: list[FunctionNode] = [node for node in arguments if isinstance(node, ast.Lambda)]
    return [*lambdas, *(function for function in named if function is not None)]


def _strings(node: ast.expr) -> set[str]:
    return {
        child.value
        for child in walk(node)
        if isinstance(child, ast.Constant) and isinstance(child.value, str)
    }


def _dictionary_keys(node: ast.Dict) -> set[str]:
    return {
        key.value
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def _row_keys(
    node: ast.expr, assigned: dict[str, ast.expr], functions: dict[str, FunctionNode]
) -> set[str]:
    """Return the top-level keys of rows: a list of dictionaries, a dictionary, or a maker."""
    if isinstance(node, ast.Name):
        if node.id in assigned:
            value = assigned[node.id]
            return set() if isinstance(value, ast.Name) else _row_keys(value, {}, functions)
        return set(returned_keys(functions[node.id])) if node.id in functions else set()
    if isinstance(node, ast.Dict):
        return _dictionary_keys(node)
    if isinstance(node, ast.List):
        return set().union(*(_row_keys(item, {}, functions) for item in node.elts[:5]))
    if isinstance(node, ast.ListComp):
        return _row_keys(node.elt, {}, functions)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        function = functions.get(node.func.id)
        return set(returned_keys(function)) if function is not None else set()
    return set()


def function_results(function: FunctionNode) -> list[ast.expr]:
    """Return the expressions a function returns or yields, those of nested functions left out."""
    if isinstance(function, ast.Lambda):
        return [function.body]
    found: list[ast.expr] = []
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            found.append(node.value)
        stack.extend(children(node))
    return found


def returned_keys(function: FunctionNode) -> tuple[str, ...]:
    """Return the keys of the dictionaries (or lists of dictionaries) a function returns."""
    return tuple(sorted(_result_keys(function, function_results(function))))


def _result_keys(function: FunctionNode, results: list[ast.expr]) -> set[str]:
    names = {}
    if any(isinstance(result, ast.Name) for result in results):
        names = {
            node.targets[0].id: node.value
            for node in walk(function)
            if isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
        }
    keys: set[str] = set()
    for result in results:
        keys |= _row_keys(result, names, {})
    return keys


def read_keys(function: FunctionNode) -> set[str]:
    """Return the string keys a function subscripts or `.get`s on its first parameter."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    if not parameters:
        return set()
    row = parameters[0].arg
    keys: set[str] = set()
    for node in walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            if node.value.id == row and isinstance(node.slice, ast.Constant):
                keys.add(str(node.slice.value))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == row
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            keys.add(str(node.args[0].value))
    return keys


def function_facts(tree: ast.Module, scopes: ModuleScopes) -> list[FunctionFact]:
    """Describe the user's functions, for whoever is handed one by name."""
    return [
        _function_fact(node, scopes.scope_of[node].number)
        for node in walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    given = function.args
    return tuple(item.arg for item in (*given.posonlyargs, *given.args, *given.kwonlyargs))


def _parameter_uses(
    function: ast.FunctionDef | ast.AsyncFunctionDef, names: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return what the body does with each parameter; nested functions count as well."""
    used: set[tuple[str, str]] = set()
    read: set[ast.Name] = set()
    for node in (item for statement in function.body for item in walk(statement)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            read.add(node.value)
            if node.value.id in names:
                used.add((node.value.id, node.attr if isinstance(node.ctx, ast.Load) else ""))
        elif isinstance(node, ast.Name) and node.id in names and node not in read:
            used.add((node.id, ""))
    return tuple(sorted(used))


def _function_fact(node: ast.FunctionDef | ast.AsyncFunctionDef, scope: int) -> FunctionFact:
    results = function_results(node)
    return FunctionFact(
        name=node.name,
        scope=scope,
        returns_list=_returns_list(node, results),
        returned_keys=tuple(sorted(_result_keys(node, results))),
        read_keys=tuple(sorted(read_keys(node))),
        num_parameters=len(node.args.posonlyargs) + len(node.args.args),
        parameters=(names := _parameters(node)),
        parameter_uses=_parameter_uses(node, names),
    )


def _returns_list(function: FunctionNode, results: list[ast.expr]) -> bool:
    if not results or not all(
        isinstance(result, ast.List | ast.ListComp | ast.Name) for result in results
    ):
        return False
    lists = {
        node.targets[0].id
        for node in walk(function)
        if isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.List | ast.ListComp)
    }
    return all(not isinstance(result, ast.Name) or result.id in lists for result in results)
