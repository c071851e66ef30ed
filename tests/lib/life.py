"""What a server's log says of one of its lives: whether it came to serve, and the background work
under way (the server must run with --log-level debug).
"""

import collections
import pathlib
import re
import subprocess
import sys

WORKS = ["flush", "compaction", "cleaning", "growth"]
PHASES = ["first format", "recovery", *WORKS]
DEBUG = ["--log-level", "debug"]
AIM = pathlib.Path(__file__).with_name("aim.py")
# So long is waited for work to begin. So often growth must be hit before other work is aimed at;
# it ends once the load has all the room it needs, so that it is not tried for ever.
WORK_WAIT_S, GROWTH_FIRST, GROWTH_TRIES = 6, 2, 6
WORK_LINE = re.compile(r"background work (begins|ends) work=(\w+) drive=(\S+)")


class Life:
    """One life, from its spawn on."""

    def __init__(self, server):
        self.server = server
        self.offset = server.log_path.stat().st_size if server.log_path.exists() else 0
        self.rest = ""
        self.under_way = collections.Counter()
        self.serves = False
        server.spawn()

    def read(self):
        """Reads on; answers the kinds of work under way."""
        with open(self.server.log_path, "rb") as log:
            log.seek(self.offset)
            added = log.read()
        self.offset += len(added)
        lines = (self.rest + added.decode(errors="replace")).split("\n")
        self.rest = lines.pop()
        for line in lines:
            found = WORK_LINE.search(line)
            if found:
                change = 1 if found[1] == "begins" else -1
                self.under_way[found[2], found[3]] += change
            self.serves = self.serves or " serving addresses=" in line
        return {work for (work, _), count in self.under_way.items() if count > 0}


class Aim:
    """Chooses the moment of a kill or a loss: any, or one in the work that was hit least so far."""

    def __init__(self, random, by_phase):
        self.random, self.by_phase = random, by_phase
        self.growth_tries = 0

    def shoot(self, life, load, delay_s, *action):
        """Under load, does it (`kill PID` or `write FILE LINE`) once the work that was hit least
        begins; False where no work was aimed at, or it did not begin."""
        target = self._target()
        # A drive grows in the first moments of a load.
        earliest_s, latest_s = (0, 0.1) if target == "growth" else (0.1, 2)
        load.stopping.wait(self.random.uniform(earliest_s, latest_s))
        if target is None:
            return False
        life.read()
        command = [sys.executable, str(AIM), str(life.server.log_path), str(life.offset), target]
        command += [str(WORK_WAIT_S), str(delay_s), *map(str, action)]
        done = subprocess.run(command, timeout=WORK_WAIT_S + 30)
        assert done.returncode in (0, 1), f"aim.py ended with {done.returncode}"
        return done.returncode == 0

    def _target(self):
        """Growth comes first."""
        if self.by_phase["growth"] < GROWTH_FIRST and self.growth_tries < GROWTH_TRIES:
            self.growth_tries += 1
            return "growth"
        if self.random.random() < 0.5:
            return None
        return min(WORKS, key=lambda work: (self.by_phase[work], self.random.random()))


def landed(by_phase):
    """What kills or losses landed in, as a text."""
    phases = ", ".join(f"{by_phase[phase]} in {phase}" for phase in PHASES)
    rest = ", ".join(f"{n} {name}" for name, n in by_phase.items() if name not in PHASES)
    return f"{phases}; {rest}"
