"""Checks that what clients saw of one key is what one register, changed in one order, would show.

An operation takes effect at one moment between its call and its answer (linearizability). One
without an answer may take effect at any later moment, or never. The search is that of Wing and
Gong as Lowe tightened it: at each answer, only orders that end with the answered operation are
tried.

    history = History(None)            # the value at the start; None is 'no object'
    operation = history.call(WRITE, "v1", If.ABSENT)
    history.answer(operation, DONE)    # or REFUSED: its condition did not hold
    operation = history.call(READ)
    history.answer(operation, DONE, "v1")
    history.problem(etag_of)           # None, or what cannot be
"""

import dataclasses
import itertools
import threading
import time

READ, WRITE, DELETE = "read", "write", "delete"
DONE, REFUSED, UNKNOWN, VOID = "done", "refused", "unknown", "void"
# Configurations tried for one key before the search is given up, and said so.
TRIED_MAX = 300_000


class If:
    """Conditions of a write: on no object, or on an ETag (any other string)."""

    ABSENT = "if-absent"


class TooMany(Exception):
    """The search was given up: too many orders are possible."""


@dataclasses.dataclass(eq=False)
class Operation:
    kind: str
    value: object
    condition: object
    called: float
    number: int
    answered: float = None
    outcome: str = UNKNOWN

    def __str__(self):
        condition = f" if {self.condition}" if self.condition else ""
        answered = f"{self.answered:.4f}" if self.answered is not None else "never"
        return (
            f"#{self.number} {self.kind} {self.value}{condition}: {self.outcome}"
            f" (called {self.called:.4f}, answered {answered})"
        )


class History:
    """The operations on one key since its value was known for sure."""

    def __init__(self, value):
        self.lock = threading.Lock()
        self.start_over(value)

    def start_over(self, value):
        """Nothing is under way and nothing can take effect any more: the key holds `value`."""
        self.initial = value
        self.operations = []

    def call(self, kind, value=None, condition=None):
        with self.lock:
            number = len(self.operations)
            operation = Operation(kind, value, condition, time.monotonic(), number)
            self.operations.append(operation)
        return operation

    def answer(self, operation, outcome, value=None):
        """VOID: it had no effect and says nothing. UNKNOWN: it may take effect later."""
        operation.outcome = outcome
        if outcome != UNKNOWN:
            operation.answered = time.monotonic()
        if operation.kind == READ:
            operation.value = value

    def problem(self, etag_of):
        """What no order of the operations explains, as a text; None where all is explained."""
        with self.lock:
            useful = [op for op in self.operations if op.outcome != VOID]
        # A read without an answer says nothing.
        useful = [op for op in useful if op.kind != READ or op.outcome == DONE]
        search = Search(self.initial, etag_of)
        for operation, is_call in _events(useful):
            if is_call:
                search.pending.append(operation)
            elif not search.take(operation):
                return self._explain(operation, search.before)
        return None

    def _explain(self, operation, before):
        around = [op for op in self.operations if op.called <= operation.answered][-12:]
        lines = "\n    ".join(str(op) for op in around)
        held = sorted({str(state) for state, _, _ in before})
        return f"no order explains {operation}; the key may have held {held}:\n    {lines}"


def _events(operations):
    """(operation, is it the call) in order of time; at the same moment calls come first."""
    events = [(op.called, 0, op) for op in operations]
    events += [(op.answered, 1, op) for op in operations if op.answered is not None]
    events.sort(key=lambda event: event[:2])
    return [(op, is_answer == 0) for _, is_answer, op in events]


class Search:
    """Every (value, known operations done, unanswered operations done) that may hold now."""

    def __init__(self, initial, etag_of):
        self.etag_of = etag_of
        self.pending = []
        self.configurations = {(initial, frozenset(), frozenset())}
        self.before = self.configurations
        self.tried = itertools.count()

    def take(self, answered):
        """Drops what contradicts that this operation took effect by now; False if all does."""
        self.before = self.configurations
        after = Minimal()
        for configuration in self.configurations:
            if answered in configuration[1]:
                after.add(configuration)
            else:
                self._reach(configuration, answered, after)
        self.pending.remove(answered)
        self.configurations = {
            (value, done - {answered}, unanswered) for value, done, unanswered in after.all()
        }
        return bool(self.configurations)

    def _reach(self, start, answered, after):
        """Adds every configuration that ends with `answered`."""
        seen = Minimal()
        queue = [start]
        while queue:
            configuration = queue.pop(0)
            if next(self.tried) > TRIED_MAX:
                raise TooMany
            value, done, unanswered = configuration
            for operation in self.pending:
                if operation in done or operation in unanswered:
                    continue
                applies, result = self._apply(operation, value)
                if not applies:
                    continue
                if operation.answered is None:
                    following = (result, done, unanswered | {operation})
                else:
                    following = (result, done | {operation}, unanswered)
                if operation is answered:
                    after.add(following)
                elif seen.add(following):
                    queue.append(following)

    def _apply(self, operation, value):
        """Whether it can take effect on this value with the answer it got, and the new value."""
        holds = self._holds(operation.condition, value)
        if operation.kind == READ:
            return operation.value == value, value
        if operation.outcome == REFUSED:
            return not holds, value
        return holds, None if operation.kind == DELETE else operation.value

    def _holds(self, condition, value):
        if condition is None:
            return True
        if condition == If.ABSENT:
            return value is None
        return value is not None and self.etag_of(value) == condition


class Minimal:
    """Configurations of which none is another with more unanswered operations spent: these need
    not ever take effect, so fewer spent allows everything more spent does."""

    def __init__(self):
        self.table = {}

    def add(self, configuration):
        """False where nothing is new."""
        value, done, unanswered = configuration
        known = self.table.setdefault((value, done), [])
        if any(other <= unanswered for other in known):
            return False
        known[:] = [other for other in known if not unanswered <= other] + [unanswered]
        return True

    def all(self):
        for (value, done), sets in self.table.items():
            for unanswered in sets:
                yield value, done, unanswered
