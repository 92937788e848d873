"""The published Python worker, livekit-agents, as `subject.rs` wants a program under test.

pip install livekit-agents
"""

import asyncio
import os
import pathlib
import sys
import time

from livekit.agents import AgentServer, JobContext, JobExecutorType, JobRequest, cli

DIR = pathlib.Path(os.environ["MATRIX_DIR"])
CAPACITY = 100


def read(name):
    try:
        return (DIR / name).read_text()
    except FileNotFoundError:
        return ""


def load(server):
    while read("load") == "hang":
        time.sleep(0.05)
    jobs = len(server.active_jobs) / CAPACITY
    return float(read("load") or jobs * 0.7)


async def request(job: JobRequest):
    match job.job.metadata:
        case "slow":
            await asyncio.sleep(3)
        case "hang":
            await asyncio.Event().wait()
        case "panic":
            raise RuntimeError("on purpose")
    await job.accept()


server = AgentServer(
    job_executor_type=JobExecutorType.THREAD,
    load_fnc=load,
    load_threshold=0.7,
    drain_timeout=int(os.environ.get("MATRIX_DRAIN_SECS", "3600")),
    num_idle_processes=4,
    host="127.0.0.1",
    port=0,
)


@server.rtc_session(agent_name="matrix", on_request=request)
async def talk(ctx: JobContext):
    with open(DIR / "started", "a") as started:
        started.write(f"{ctx.job.id} {ctx._info.url}\n")
    while not (how := read(f"{ctx.job.id}.end")):
        await asyncio.sleep(0.005)
    if how == "error":
        raise RuntimeError("broken on purpose")
    if how == "panic":
        raise SystemError("crashed on purpose")
    ctx.shutdown()


sys.argv[1:] = ["start"]
cli.run_app(server)
