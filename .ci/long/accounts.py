"""What callers, journals, trails, processes and the certificate of a rollout tell, and where they differ."""

import collections
import json
import os
import subprocess

# What a caller saw, and the ends that a worker which left by itself may have written for it.
FITS = {
    "hung_up": {"caller_hangup"},
    "cut": {"drain_forced"},
    "lost": {"drain_forced", "disconnected"},
    # The hang-up may or may not have reached the worker before that was gone.
    "hung_up_unheard": {"caller_hangup", "drain_forced"},
}
DROPS = ("drain_forced", "platform_forced")


def compare(rollout, code, hands):
    """Every difference, in words. Leaves the verdict and what was counted with the rollout."""
    rollout.verdict, rollout.counts = None, {}
    try:
        with open(os.path.join(rollout.home, "report.json"), encoding="utf-8") as file:
            report = json.load(file)
        with open(os.path.join(rollout.dir, "callers.jsonl"), encoding="utf-8") as file:
            callers = [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        with open(os.path.join(rollout.home, "stderr"), encoding="utf-8", errors="replace") as file:
            return [f"the demo ended with {code} and without its report ({error}): {file.read()[-2_000:]}"]
    certificate = certify(rollout)
    if isinstance(certificate, str):
        return [certificate]
    rollout.verdict = certificate["verdict"]
    workers = tell_workers(certificate, rollout.dir)
    fates = tell_callers(callers)
    rollout.counts = {
        "calls": sum(len(of.fates) for of in fates.values()), "refusals": sum(of.declined for of in fates.values()),
        "drops": report["calls_dropped"], "probes": hands.probes["answered"],
        "workers with gaps": sum(1 for worker in workers.values() if worker.gaps),
    }
    problems = compare_report(rollout, report, code, workers)
    for name in sorted({*workers, *fates}):
        found = compare_worker(workers.get(name, Told()), fates.get(name, Seen()), name in hands.early)
        problems += [f"{name}: {problem}" for problem in found]
    problems += compare_verdict(certificate, workers, fates, rollout)
    return problems + compare_trails(rollout, workers, fates)


class Seen:
    """What callers saw of a worker."""

    def __init__(self):
        self.fates, self.declined, self.unanswered = {}, 0, []


class Told:
    """What the certificate has of a worker."""

    def __init__(self):
        self.ends, self.declined, self.gaps, self.standings = {}, 0, [], []

    def is_closed(self):
        """Whether each run of it left by itself and is told to its end."""
        return bool(self.standings) and set(self.standings) == {"exited"} and not self.gaps


def tell_callers(callers):
    seen = collections.defaultdict(Seen)
    for call in callers:
        for worker in call["declined_by"]:
            seen[worker].declined += 1
        for worker in call["unanswered_by"]:
            seen[worker].unanswered.append(call["call"])
        if call["taken_by"]:
            seen[call["taken_by"]].fates[call["call"]] = call["fate"]
    return seen


def worker_of(untold, directory, runs):
    """Whose records have a gap. If nothing of a run can be read, its path tells."""
    path = os.path.relpath(untold.get("path", directory), directory).split(os.sep)[0]
    return path if path != "." else runs[untold["run"]]


def tell_workers(certificate, directory):
    told = collections.defaultdict(Told)
    runs = [run["name"] for run in certificate["workers"]]
    for run in certificate["workers"]:
        worker = told[run["name"]]
        worker.declined += run["declined"]
        worker.standings.append(run["standing"])
    for call in certificate["calls"]:
        told[runs[call["run"]]].ends[call["id"]] = call["end"]
    for untold in certificate["unknown"]:
        told[worker_of(untold, directory, runs)].gaps.append(untold["gap"])
    return told


def certify(rollout):
    """The certificate over all journals; a sentence if there is none."""
    journals = sorted(os.path.join(rollout.dir, name) for name in os.listdir(rollout.dir))
    journals = [path for path in journals if os.path.isdir(path)]
    out = os.path.join(rollout.home, "issued.jsonl")
    command = [rollout.openrtc, "certify", "--all", "--out", out, *journals]
    issued = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if not os.path.exists(out):
        return f"there is no certificate: {issued.stderr}"
    checked = subprocess.run([rollout.openrtc, "certify", "check", out], capture_output=True, text=True, check=False)
    if checked.returncode != issued.returncode:
        return f"the certificate was issued with {issued.returncode} and checks as {checked.returncode}: {checked.stdout}"
    with open(out, encoding="utf-8") as lines:
        return json.loads(lines.readline())


def compare_report(rollout, report, code, workers):
    """What must hold whatever was done to the workers' surroundings."""
    problems = []
    limited, drops = "few descriptors" in rollout.surroundings.faults, report["calls_dropped"]
    if drops and not (rollout.kills or rollout.forces):
        problems.append(f"{drops} calls were dropped: {report['dropped'][:5]}")
    for nothing in ("new_calls_on_old_version_after_drain", "frames_lost_in_ended_calls"):
        if report[nothing]:
            problems.append(f"{nothing} is {report[nothing]}")
    if report["calls_unanswered"] and not limited:
        problems.append(f"{report['calls_unanswered']} calls were taken by nobody")
    for worker in report["workers"]:
        killed = rollout.kills and worker["signal"] == 9 and worker["worker"] == "blue-1"
        expected = 3 if rollout.forces and worker["dropped"] else 0
        if worker["exit_code"] != expected and not killed:
            problems.append(f"{worker['worker']} left with {worker['exit_code']}, signal {worker['signal']}, not {expected}")
    gaps = [name for name, worker in workers.items() if worker.gaps]
    # A worker that was killed when it had no call left is no clean rollout, though none was dropped.
    may_fail = gaps or (rollout.kills and not drops) or (limited and report["calls_unanswered"])
    if report["disagreements"] and not any(line.startswith(tuple(gaps)) for line in report["disagreements"] if gaps):
        problems.append(f"the demo's own comparison: {report['disagreements'][:5]}")
    if code not in (0, 1, 3) or (code == 1 and not may_fail):
        problems.append(f"the demo ended with {code}")
    return problems


def compare_worker(told, seen, is_early):
    """Call by call and refusal by refusal."""
    problems = []
    for call, end in told.ends.items():
        fate = seen.fates.get(call)
        fits = set(FITS.get(fate, ()))
        if not told.is_closed():
            fits.add("unknown")
            if fate in ("lost", "hung_up_unheard"):
                fits.add("platform_forced")
        # An offer that was accepted too late for its caller.
        late = fate is None and end == "withdrawn" and call in seen.unanswered
        # Its id is among what could not be written.
        nameless = call.startswith("digest ") and told.gaps
        if end not in fits and not late and not nameless:
            problems.append(f"{call} is certified as {end}, its caller saw {fate}")
    missing = [call for call in seen.fates if call not in told.ends]
    if missing and not told.gaps:
        problems.append(f"{len(missing)} calls that callers had are not certified, and no gap is: {missing[:5]}")
    if told.declined > seen.declined or (told.is_closed() and told.declined != seen.declined):
        problems.append(f"{told.declined} refusals are certified, callers were refused {seen.declined} times")
    silent = [call for call in seen.unanswered if call not in told.ends]
    if silent and told.is_closed() and not is_early:
        problems.append(f"it left by itself and did not answer {silent[:5]}")
    return problems


def compare_verdict(certificate, workers, fates, rollout):
    problems, verdict = [], certificate["verdict"]
    dropped = {call for seen in fates.values() for call, fate in seen.fates.items() if fate in ("cut", "lost")}
    ended_well = {call for seen in fates.values() for call, fate in seen.fates.items() if fate == "hung_up"}
    named = {call["id"] for call in certificate["calls"] if call["end"] in DROPS}
    told = {call["id"] for call in certificate["calls"]}
    taken = {call for seen in fates.values() for call in seen.fates}
    if verdict == "proven" and (dropped or taken - told):
        problems.append(f"PROVEN, but {len(dropped)} calls were dropped and {len(taken - told)} are not in it")
    if named & ended_well:
        problems.append(f"certified as dropped, though they ended well: {sorted(named & ended_well)[:5]}")
    if verdict == "dropped" and (dropped - named or not named):
        problems.append(f"DROPPED, but it does not name {sorted(dropped - named)[:5]}")
    if verdict == "open":
        problems.append("OPEN, but every worker has left")
    if verdict == "unknown":
        died = rollout.kills or any("died" in worker.standings for worker in workers.values())
        costly = {name for name in rollout.surroundings.names if rollout.surroundings.may_cost_evidence(name)}
        without_cause = {name for name, worker in workers.items() if worker.gaps and name not in costly}
        if without_cause or not (died or any(worker.gaps for worker in workers.values())):
            gaps = {name: workers[name].gaps for name in without_cause}
            problems.append(f"UNKNOWN, though nothing was done to the records: {gaps} {certificate['unknown'][:3]}")
    return problems


def compare_trails(rollout, workers, fates):
    """A trail that nobody touched is whole, says what the journal says, and counts the same refusals."""
    problems = []
    for name in rollout.names:
        if rollout.surroundings.may_cost_trail(name) or not workers[name].is_closed():
            continue
        journal, trail = os.path.join(rollout.dir, name), os.path.join(rollout.dir, f"{name}.audit.jsonl")
        command = [rollout.openrtc, "audit", "verify", "--journal", journal, trail]
        if rollout.surroundings.has("small journal", name):
            # What the trail is derived from had to make room.
            command = [rollout.openrtc, "audit", "verify", trail]
        verified = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if verified.returncode != 0:
            problems.append(f"{name}: its trail: {verified.stdout}{verified.stderr}")
        declined = 0
        for part in sorted(os.listdir(rollout.dir)):
            if part.startswith(f"{name}.audit.jsonl"):
                with open(os.path.join(rollout.dir, part), encoding="utf-8") as lines:
                    declined += sum(record["count"] for record in map(json.loads, lines) if record["event"] == "call.declined")
        if declined != fates[name].declined:
            problems.append(f"{name}: its trail counts {declined} refusals, callers were refused {fates[name].declined} times")
    return problems
