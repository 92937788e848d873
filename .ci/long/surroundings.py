"""In which surroundings each worker of a rollout is started: disk, limits, log."""

import fcntl
import os
import shlex

from machine import small_disk

# What a worker needs beside its calls, as its check at start has it.
DESCRIPTORS = 48
# Faults that may cost a worker some of its journal. Others must cost none of it.
COSTS_EVIDENCE = ("full disk", "limited files", "somebody at the journal")
# Faults that may cost it some of its trail's file.
COSTS_TRAIL = (*COSTS_EVIDENCE, "audit without room", "somebody at the trail")


class Surroundings:
    """Which faults are switched on for whom. Drawn from the dice, before anything is started."""

    def __init__(self, dice, home, names):
        self.dice, self.home, self.names = dice, home, names
        # Each fault with what it is for whom, for people and for whoever compares.
        self.faults = {}
        self.lines = {name: [] for name in names}
        self.redirections = {name: "" for name in names}
        self.pipes = {}
        self.level = dice.choice(("warn", "info", "debug", "trace"))
        for fault, chance in self.DRAWN.items():
            if dice.random() < chance:
                getattr(self, fault)(fault.replace("_", " "))
        if not self.faults:
            self.signals("signals")

    # How often each is switched on.
    DRAWN = {
        "full_disk": 0.25, "limited_files": 0.15, "audit_without_room": 0.1, "small_journal": 0.2, "small_trail": 0.15,
        "log": 0.5, "few_descriptors": 0.25, "signals": 0.4, "repeated_orders": 0.35, "early_order": 0.2, "flood": 0.3,
        "somebody_at_the_journal": 0.3, "somebody_at_the_trail": 0.25, "somebody_at_the_log": 0.15,
    }

    def some(self):
        return sorted(self.dice.sample(self.names, self.dice.randrange(1, len(self.names) + 1)))

    def full_disk(self, fault):
        self.faults[fault] = {name: 4 * self.dice.randrange(2, 12) for name in self.some()}
        if not small_disk(os.path.join(self.home, "a disk"), 4):
            # What a full disk answers to a write, RLIMIT_FSIZE answers as well.
            limits = {name: 1024 * kilobytes for name, kilobytes in self.faults.pop(fault).items()}
            return self.limit_files("limited files", limits)
        for name, kilobytes in self.faults[fault].items():
            mount = f"mkdir -p $journal && mount -t tmpfs -o size={kilobytes}k tmpfs $journal"
            self.lines[name].append(mount)

    def limited_files(self, fault):
        self.limit_files(fault, {name: self.dice.randrange(3_000, 60_000) for name in self.some()})

    def limit_files(self, fault, limits):
        self.faults[fault] = self.faults.get(fault, {}) | limits
        for name, limit in limits.items():
            self.lines[name].append(f"prlimit --pid $$ --fsize={limit}")

    def audit_without_room(self, fault):
        if small_disk(os.path.join(self.home, "a disk"), 4):
            self.faults[fault] = {name: 4 * self.dice.randrange(1, 3) for name in self.some()}
            for name, kilobytes in self.faults[fault].items():
                disk = os.path.join(self.home, f"{name}.trail")
                mount = f"mkdir {disk} && mount -t tmpfs -o size={kilobytes}k tmpfs {disk}"
                self.lines[name] += [mount, f"export OPENRTC_AUDIT_FILE={disk}/trail"]

    def small_journal(self, fault):
        self.faults[fault] = {name: self.dice.randrange(4_000, 40_000) for name in self.some()}
        for name, most in self.faults[fault].items():
            self.lines[name].append(f"export OPENRTC_JOURNAL_MAX_BYTES={most}")

    def small_trail(self, fault):
        self.faults[fault] = {name: self.dice.randrange(4_096, 12_000) for name in self.some()}
        for name, most in self.faults[fault].items():
            self.lines[name].append(f"export OPENRTC_AUDIT_MAX_BYTES={most}")

    def log(self, fault):
        """Somebody who is to read the log is no good at it."""
        self.faults[fault] = {name: self.dice.choice(("full", "closed", "stalls", "leaves")) for name in self.some()}
        for name, how in self.faults[fault].items():
            match how:
                case "full":
                    self.redirections[name] = "2>/dev/full"
                case "closed":
                    self.redirections[name] = "2>&-"
                case "stalls" | "leaves":
                    self.redirections[name] = f"2>{shlex.quote(self.stalled_pipe(name))}"
                    self.lines[name].append("export RUST_LOG=trace")

    def stalled_pipe(self, name):
        """A pipe whose reader does not read, into which not another byte fits."""
        path = os.path.join(self.home, f"{name}.pipe")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4_096)
        for piece in (b"." * 4_096, b"."):
            try:
                while True:
                    os.write(reader, piece)
            except BlockingIOError:
                pass
        self.pipes[name] = reader
        return path

    def somebody_at_the_log(self, fault):
        free = [name for name in self.some() if not self.redirections[name]]
        self.faults[fault] = {name: os.path.join(self.home, f"{name}.log") for name in free}
        for name, path in self.faults[fault].items():
            self.redirections[name] = f"2>>{shlex.quote(path)}"

    def few_descriptors(self, fault):
        capacity = self.dice.randrange(20, 60)
        self.faults[fault] = {name: capacity for name in self.names}
        limit = DESCRIPTORS + capacity
        for name in self.names:
            self.lines[name].append(f"export OPENRTC_CAPACITY={capacity}")
            self.lines[name].append(f"prlimit --pid $$ --nofile={limit // 2}:{limit}")

    def signals(self, fault):
        self.faults[fault] = {name: self.dice.randrange(1, 20) for name in self.some()}

    def repeated_orders(self, fault):
        self.faults[fault] = {name: self.dice.choice(("TERM", "INT", "both")) for name in self.some()}

    def early_order(self, fault):
        """One worker of several is told to leave before its time."""
        blue = [name for name in self.names if name.startswith("blue")]
        if len(blue) > 1:
            self.faults[fault] = {self.dice.choice(blue): self.dice.choice(("TERM", "INT", "PWR"))}

    def flood(self, fault):
        self.faults[fault] = {name: self.dice.randrange(50, 250) for name in self.some()}

    def somebody_at_the_journal(self, fault):
        self.faults[fault] = {name: self.dice.randrange(1, 4) for name in self.some()}

    def somebody_at_the_trail(self, fault):
        self.faults[fault] = {name: self.dice.randrange(1, 4) for name in self.some()}

    def has(self, fault, name):
        return name in self.faults.get(fault, {})

    def may_cost_evidence(self, name):
        return any(self.has(fault, name) for fault in COSTS_EVIDENCE)

    def may_cost_trail(self, name):
        return any(self.has(fault, name) for fault in COSTS_TRAIL)

    def write_wrapper(self):
        """A program that starts a worker in its surroundings, by the name of its journal."""
        for name in self.names:
            with open(os.path.join(self.home, f"{name}.sh"), "w", encoding="utf-8") as script:
                script.write("".join(f"{line}\n" for line in self.lines[name]))
                script.write(f"exec \"$@\" {self.redirections[name]}\n")
        path = os.path.join(self.home, "wrapper")
        with open(path, "w", encoding="utf-8") as wrapper:
            wrapper.write(
                "#!/bin/sh\n"
                "journal=$OPENRTC_JOURNAL_DIR name=${OPENRTC_JOURNAL_DIR##*/} home=${0%/*}\n"
                "echo $$ >\"$home/$name.pid\"\n"
                "[ -e \"$home/$name.sh\" ] || exec \"$@\"\n"
                ". \"$home/$name.sh\"\n"
            )
        os.chmod(path, 0o755)
        return path
