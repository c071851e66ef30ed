"""What a server's log says of one of its lives: whether it came to serve, and the background work
under way (the server must run with --log-level debug).
"""

import collections
import re

WORKS = ["flush", "compaction", "cleaning", "growth"]
PHASES = ["first format", "recovery", *WORKS]
DEBUG = ["--log-level", "debug"]
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


def landed(by_phase):
    """What kills or losses landed in, as a text."""
    phases = ", ".join(f"{by_phase[phase]} in {phase}" for phase in PHASES)
    rest = ", ".join(f"{n} {name}" for name, n in by_phase.items() if name not in PHASES)
    return f"{phases}; {rest}"
