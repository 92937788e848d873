"""Checks the report of `openrtc demo --json`: its keys are the documented ones and its rollout dropped nothing."""

import json
import sys

KEYS = {
    "calls_offered",
    "calls_ended",
    "calls_dropped",
    "frames_sent",
    "frames_lost",
    "new_calls_on_old_version_after_drain",
    "workers",
    "journals_agree",
}

with open(sys.argv[1], encoding="utf-8") as report:
    report = json.load(report)

missing = KEYS - report.keys()
if missing:
    sys.exit(f"the report lacks {', '.join(sorted(missing))}")

wrong = []
if report["calls_offered"] < 300:
    wrong.append("fewer than 300 calls were offered")
if report["frames_sent"] == 0:
    wrong.append("no frame was sent")
for key in ("calls_dropped", "frames_lost", "new_calls_on_old_version_after_drain"):
    if report[key] != 0:
        wrong.append(f"{key} is {report[key]}, not 0")
if report["journals_agree"] is not True:
    wrong.append("the journals disagree with the callers")
if len({worker["version"] for worker in report["workers"]}) < 2:
    wrong.append("fewer than two versions took part")
for worker in report["workers"]:
    if worker["exit_code"] != 0:
        wrong.append(f"a worker of {worker['version']} left with exit code {worker['exit_code']}")
if wrong:
    sys.exit("\n".join(wrong))
print(f"{report['calls_offered']} calls, {report['frames_sent']} frames, nothing dropped")
