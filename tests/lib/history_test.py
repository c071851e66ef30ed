#!/usr/bin/env python3
"""The checker of histories must be able to fail: python3 tests/lib/history_test.py"""

import itertools
import random
import unittest

from history import DELETE, DONE, READ, REFUSED, UNKNOWN, WRITE, History, If, Operation


def history(initial, *rows):
    """Rows: kind, value, condition, called, answered (None: never), outcome."""
    made = History(initial)
    for number, (kind, value, condition, called, answered, outcome) in enumerate(rows):
        made.operations.append(
            Operation(kind, value, condition, called, number, answered, outcome)
        )
    return made


def fine(*rows, initial=None):
    return history(initial, *rows).problem(lambda value: f"etag-{value[0]}") is None


def by_trying_all(initial, rows):
    """The same answer, by trying every order of every choice of the unanswered."""
    known = [row for row in rows if row[4] is not None]
    unknown = [row for row in rows if row[4] is None]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations(known + list(chosen)):
                if _explains(initial, order):
                    return True
    return False


def _explains(value, order):
    for index, row in enumerate(order):
        if any(later[4] is not None and later[4] < row[3] for later in order[index + 1 :]):
            return False
        kind, written, condition, _, _, outcome = row
        if condition is None:
            holds = True
        elif condition == If.ABSENT:
            holds = value is None
        else:
            holds = value is not None and f"etag-{value[0]}" == condition
        if kind == READ:
            if written != value:
                return False
        elif outcome == REFUSED:
            if holds:
                return False
        elif not holds:
            return False
        else:
            value = None if kind == DELETE else written
    return True


class Histories(unittest.TestCase):
    def test_a_lost_write_is_found(self):
        self.assertFalse(fine((WRITE, "a", None, 1, 2, DONE), (READ, None, None, 3, 4, DONE)))
        self.assertTrue(fine((WRITE, "a", None, 1, 2, DONE), (READ, "a", None, 3, 4, DONE)))

    def test_an_unanswered_write_may_hold_at_any_time_but_only_once(self):
        write = (WRITE, "a", None, 1, None, UNKNOWN)
        self.assertTrue(fine(write, (READ, None, None, 3, 4, DONE)))
        late = (READ, "a", None, 5, 6, DONE)
        self.assertTrue(fine(write, (READ, None, None, 3, 4, DONE), late))
        gone = (READ, None, None, 7, 8, DONE)
        self.assertFalse(fine(write, late, gone))

    def test_a_deleted_object_that_comes_back_is_found(self):
        rows = [(DELETE, None, None, 1, 2, DONE), (READ, "a", None, 3, 4, DONE)]
        self.assertFalse(fine(*rows, initial="a"))

    def test_of_two_conditional_writes_on_one_base_one_wins(self):
        first = (WRITE, "b", "etag-a", 1, 5, DONE)
        self.assertFalse(fine(first, (WRITE, "c", "etag-a", 2, 6, DONE), initial="a"))
        self.assertTrue(fine(first, (WRITE, "c", "etag-a", 2, 6, REFUSED), initial="a"))

    def test_a_refusal_needs_its_reason(self):
        self.assertFalse(fine((WRITE, "b", If.ABSENT, 1, 2, REFUSED)))
        self.assertTrue(fine((WRITE, "b", If.ABSENT, 1, 2, REFUSED), initial="a"))

    def test_it_agrees_with_trying_every_order(self):
        seen = set()
        for seed in range(3000):
            rng = random.Random(seed)
            rows = [self.random_row(rng, index) for index in range(rng.randint(2, 6))]
            initial = rng.choice([None, "a0"])
            answer = fine(*rows, initial=initial)
            self.assertEqual(answer, by_trying_all(initial, rows), (seed, initial, rows))
            seen.add(answer)
        self.assertEqual(seen, {True, False})

    @staticmethod
    def random_row(rng, index):
        called = rng.random()
        answered = called + rng.random() / 2
        kind = rng.choice([READ, WRITE, WRITE, DELETE])
        if kind == READ:
            return (READ, rng.choice([None, "a0", "b0", "a1"]), None, called, answered, DONE)
        unanswered = rng.random() < 0.3
        value = f"{rng.choice('ab')}{rng.randint(0, 1)}" if kind == WRITE else None
        condition = rng.choice([None, If.ABSENT, "etag-a", "etag-b"]) if kind == WRITE else None
        outcome = rng.choice([DONE, REFUSED]) if condition else DONE
        if unanswered:
            return (kind, value, condition, called, None, UNKNOWN)
        return (kind, value, condition, called, answered, outcome)


if __name__ == "__main__":
    unittest.main()
