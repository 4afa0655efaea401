"""What a script uses of a source framework, and where. Made by `analyse`, read by `plan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mint_migrate.model.plan import Found
from mint_migrate.model.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One simple statement, or the header of a compound one."""

    span: Span
    scope: int
    """Number of the scope it runs in; 0 is the module."""
    is_compound: bool
    binds: tuple[str, ...]
    loads: tuple[str, ...]
    """Names it reads that are bound in this file, dotted for `self.x`."""
    deletes: tuple[str, ...] = ()
    """Names of a `del` statement that deletes nothing but names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A module, function, lambda or class body."""

    number: int
    parent: int | None
    kind: str
    name: str
    names: tuple[str, ...]
    """Everything bound in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An expression of the user's, as text."""

    text: str
    span: Span
    literal: str | None
    """Its value as `repr`, if it is a literal."""
    name: str | None
    """The name, if it is nothing but a name or `self.x`."""
    call: int | None
    """Number of the source call it is, if it is one."""
    maker: str | None
    """Name of the function it calls, if it is a call of a function or method of the file."""
    loads: tuple[str, ...]
    function: int | None = None
    """Scope of the function of the file it calls, where that is bound once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a call, or one key of a dictionary splatted into it."""

    found: Found
    keyword: str | None
    index: int
    star: str
    """"", "*" or "**"."""
    value: Value
    comments: tuple[str, ...]
    """Comment lines above it."""
    trailing: str
    """Comment behind it on its line."""
    elements: tuple[Found, ...] = ()
    """Elements of a literal `callbacks=[...]`, each an item of its own."""
    splat: str | None = None
    """Name of the dictionary it comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of something that belongs to a source package."""

    number: int
    found: Found
    qualified: str
    """As imported; canonical names are the tables' business."""
    arguments: tuple[Argument, ...]
    statement: Span
    scope: int
    target: str | None
    """The name its result is bound to: `trainer`, `self.trainer`."""
    targets: tuple[str, ...]
    """All names, where it is unpacked into several."""
    is_statement: bool
    """It is the whole right-hand side, or the whole expression, of its statement."""
    parent: int | None
    """Number of the source call it is an argument of."""
    own_class: str | None = None
    """The file's own class that is called, where it derives from the class of the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An attribute chain on a variable that holds a trainer or a model."""

    found: Found
    root: str
    call: int
    """Number of the call that made the object."""
    chain: str
    """`model.save_pretrained`, calls marked by `()` where they are not last."""
    is_call: bool
    is_store: bool
    arguments: tuple[Argument, ...]
    statement: Span
    scope: int
    is_statement: bool
    target: str | None


BATCH = "verl.DataProto"
WORKER = "verl.ActorRolloutRefWorker"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchUse:
    """A chain of attributes and calls on a variable that holds a batch or a worker of verl."""

    found: Found
    owner: str
    """`BATCH` or `WORKER`."""
    root: str
    attributes: tuple[str, ...]
    """Those before the first call: `batch`, `keys` of `data.batch.keys()`."""
    arguments: tuple[Argument, ...]
    key: str | None
    """The text in brackets behind it, where there is one."""
    statement: Span
    scope: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigEntry:
    """One option of verl that the file holds itself."""

    found: Found
    key: str
    """`actor_rollout_ref.model.path`."""
    text: str | None
    """Value as it would stand on a command line of Hydra, or None."""
    literal: str | None
    """Value as a literal of Python, or None; both are None where only the running script knows."""
    statement: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedName:
    """One name bound by an import from a source package."""

    found: Found
    bound: str
    qualified: str
    statement: Span
    scope: int
    is_star: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One place where a name of the file is bound."""

    name: str
    scope: int
    kind: str
    """import | assign | function | class | parameter | delete | other"""
    statement: Span
    value: Value | None
    """The right-hand side, for a plain assignment."""
    unpacked: Value | None = None
    """The right-hand side it is one element of, for `a, b = ...`."""
    index: int = 0
    """Which element of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverriddenMethod:
    """A method defined in the user's subclass of a source class."""

    found: Found
    base: str
    class_name: str
    class_statement: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFact:
    """A function of the user's: what a planner asks about formatting and mapping functions."""

    name: str
    scope: int
    returns_list: bool
    returned_keys: tuple[str, ...]
    read_keys: tuple[str, ...]
    """String keys it subscripts."""
    num_parameters: int
    parameters: tuple[str, ...] = ()
    """Names, positional ones first."""
    parameter_uses: tuple[tuple[str, str], ...] = ()
    """(parameter, attribute) for each `parameter.attribute` that is read; "" for any other use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFlow:
    """What goes into a function of the file that is bound once, and what comes out."""

    scope: int
    """Number of the scope that is its body."""
    results: tuple[tuple[Value, ...], ...]
    """What each `return` gives back; several values for a tuple."""
    calls: tuple[tuple[Span, int, tuple[tuple[str, Value], ...]], ...]
    """(statement, scope, what is passed by parameter) of each call."""
    texts: tuple[str, ...]
    """Parameters that are text: by their annotation, or by their default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One place where the script names something of a source package, imports left out."""

    qualified: str
    span: Span
    scope: int
    bound: str
    """The imported name at its start."""
    is_annotation: bool = False
    """It stands in the annotation of a parameter, a result or a variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionField:
    """One annotated field of a class of options."""

    name: str
    default: str | None
    """Its default as text; None where it has none, or a factory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionClass:
    """A class that a parser of options makes an object of."""

    name: str
    """As the script names it."""
    qualified: str | None
    """The class of a source package that it is, or that it derives from."""
    is_own: bool
    """The file defines it."""
    fields: tuple[OptionField, ...] = ()
    """Fields that the file's own class defines itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A variable that holds what a parser of options made of one class."""

    name: str
    scope: int
    parser: int
    """Number of the call that makes the parser."""
    made: OptionClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the planner may know about a script."""

    imports: tuple[ImportedName, ...]
    calls: tuple[Call, ...]
    uses: tuple[Use, ...]
    batches: tuple[BatchUse, ...]
    entries: tuple[ConfigEntry, ...]
    overridden: tuple[OverriddenMethod, ...]
    statements: tuple[Statement, ...]
    scopes: tuple[Scope, ...]
    bindings: tuple[Binding, ...]
    functions: tuple[FunctionFact, ...]
    returned_calls: tuple[tuple[str, int], ...]
    """(function name, number of the source call) for functions whose one result is a source call.
    """
    flows: tuple[FunctionFlow, ...]
    held: tuple[tuple[str, int, int], ...]
    """(name, scope that binds it, or class for `self.x`, number of the call that made it) of
    variables that hold a trainer or a model.
    """
    produced_columns: tuple[str, ...]
    """Data set columns the script makes: keys of rows and of what mapped functions return."""
    read_columns: tuple[str, ...]
    """Data set columns the script reads."""
    attributes_read: tuple[tuple[str, str], ...]
    """(name, attribute) for every `name.attribute` that is read."""
    attributes_written: tuple[tuple[str, str], ...]
    """(name, attribute) for every `name.attribute` that is assigned or deleted."""
    handlers: tuple[tuple[Span, Span], ...]
    """(body of a `try`, one of its handlers)."""
    references: tuple[Reference, ...]
    parsed: tuple[Parsed, ...]
    text: str
    readers: Mapping[str, tuple[Statement, ...]] = field(init=False, repr=False, compare=False)
    """The statements whose own line reads a name, in order, by name."""

    def __post_init__(self) -> None:
        readers: dict[str, list[Statement]] = {}
        for statement in self.statements:
            for name in statement.loads:
                readers.setdefault(name, []).append(statement)
        found = {name: tuple(statements) for name, statements in readers.items()}
        object.__setattr__(self, "readers", found)
