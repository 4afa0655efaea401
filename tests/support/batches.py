"""Which names of a script hold a batch of verl or a worker of it, for `support.walker`.

A name counts once any of its bindings does: `DataProto` and its methods that return one, methods of
workers, annotations, loops over parts. Found by going over all bindings until nothing is new.
"""

from __future__ import annotations

import ast

from support.scopes import Scope, Scoped, is_self, qualified_name

NEW = {"from_dict", "from_single_dict", "from_tensordict", "concat", "load_from_disk"}
AGAIN = {
    *("to", "select", "select_idxs", "slice", "pop", "rename", "union", "repeat"),
    *("sample_level_repeat", "unfold_column_chunks"),
}
SEVERAL = {"chunk", "split", "make_iterator"}
WORK = {
    *("generate_sequences", "compute_log_prob", "compute_ref_log_prob", "update_actor"),
    *("compute_values", "compute_rm_score", "update_critic"),
}
BATCH, WORKER = "batch", "worker"


class Batches(Scoped):
    """What each name of a module holds; one visit adds what follows from the ones before."""

    def __init__(self, tree: ast.Module, scopes: dict[ast.AST, Scope]) -> None:
        super().__init__(scopes)
        self.known: dict[tuple[int, str], str] = {}
        self.functions: dict[tuple[int, str], ast.FunctionDef] = {}
        size = -1
        while size < len(self.known) + len(self.functions):
            size = len(self.known) + len(self.functions)
            self.visit(tree)

    def holder(self, node: ast.expr, scope: Scope) -> str | None:
        """Return what `name` or `self.name` holds."""
        key = self.key(node, scope)
        return None if key is None else self.known.get(key)

    def key(self, node: ast.expr, scope: Scope) -> tuple[int, str] | None:
        if isinstance(node, ast.Name):
            hit = scope.lookup(node.id)
            return None if hit is None else (id(hit[0]), node.id)
        if isinstance(node, ast.Attribute) and is_self(node.value):
            owner = scope.enclosing_class() or scope
            return (id(owner), f"self.{node.attr}")
        return None

    def learn(self, target: ast.expr, what: str | None) -> None:
        key = self.key(target, self.scope)
        if key is not None and what is not None:
            self.known.setdefault(key, what)

    def what(self, node: ast.expr) -> str | None:
        """Return what an expression gives."""
        if isinstance(node, ast.Subscript):
            return BATCH if self.what(node.value) == BATCH else None
        if not isinstance(node, ast.Call):
            return self.holder(node, self.scope)
        name = qualified_name(node.func, self.scope) or ""
        parts = name.split(".")
        if parts[0] == "verl":
            if parts[-1] == "ActorRolloutRefWorker":
                return WORKER
            is_made = parts[-1] in {"DataProto", "DataProtoItem", "unpad_dataproto"}
            return BATCH if is_made or parts[-1] in NEW else None
        if isinstance(node.func, ast.Attribute):
            owner = self.what(node.func.value)
            if (owner, node.func.attr in AGAIN) == (BATCH, True):
                return BATCH
            if (owner, node.func.attr in WORK) == (WORKER, True):
                return BATCH
        key = self.key(node.func, self.scope)
        if isinstance(node.func, ast.Attribute) and key is not None:
            key = (key[0], node.func.attr)
        function = self.functions.get(key) if key is not None else None
        return BATCH if function is not None and self.says(function.returns) else None

    def says(self, annotation: ast.expr | None) -> bool:
        match annotation:
            case ast.Constant(value=str(text)):
                name, *rest = text.split(".")
                hit = self.scope.lookup(name)
                full = [".".join([each.qualified or "", *rest]) for each in hit[1]] if hit else []
                return bool(full) and all(
                    each.startswith("verl.")
                    and each.split(".")[-1] in {"DataProto", "DataProtoItem"}
                    for each in full
                )
            case ast.BinOp(op=ast.BitOr()):
                return self.says(annotation.left) or self.says(annotation.right)
            case ast.Subscript(value=ast.Name(id="Optional")):
                return self.says(annotation.slice)
            case ast.Name() | ast.Attribute():
                parts = (qualified_name(annotation, self.scope) or "").split(".")
                return parts[0] == "verl" and parts[-1] in {"DataProto", "DataProtoItem"}
        return False

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        bindings = self.scope.names.get(node.name, [])
        if isinstance(node, ast.FunctionDef) and len(bindings) == 1:
            self.functions[(id(self.scope), node.name)] = node
        super().visit_FunctionDef(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def bind_parameters(self, arguments: ast.arguments) -> None:
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for parameter in [*every, arguments.vararg, arguments.kwarg]:
            if parameter is not None and self.says(parameter.annotation):
                self.known.setdefault((id(self.scope), parameter.arg), BATCH)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if len(node.targets) == 1:
                self.learn(target, self.what(node.value))
            if isinstance(target, ast.Tuple | ast.List) and isinstance(node.value, ast.Call):
                name = qualified_name(node.value.func, self.scope) or ""
                if name.startswith("verl.") and name.endswith(".pad_dataproto_to_divisor"):
                    self.learn(target.elts[0], BATCH)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.learn(node.target, BATCH if self.says(node.annotation) else self.what(node.value))
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        runs = node.iter
        method = runs.func if isinstance(runs, ast.Call) else None
        is_parts = isinstance(method, ast.Attribute) and method.attr in SEVERAL
        if is_parts and self.what(method.value) == BATCH and isinstance(node.target, ast.Name):
            self.learn(node.target, BATCH)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        method = node.func
        if isinstance(method, ast.Attribute) and method.attr in WORK:
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(self.what(value) == BATCH for value in given):
                self.learn(method.value, WORKER)
        self.generic_visit(node)
