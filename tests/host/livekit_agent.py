"""A LiveKit agent as people write it: it says back every message that it hears in its room, and leaves with the caller."""
import asyncio
import os

from livekit.agents import AgentServer, JobContext, JobExecutorType, cli

# A machine that is busy with other tests is not full.
server = AgentServer(
    port=int(os.environ["PORT"]), job_executor_type=JobExecutorType.THREAD, load_threshold=float("inf")
)


@server.rtc_session(agent_name="echo")
async def echo(job: JobContext):
    async def say(data):
        await job.room.local_participant.publish_data(data, reliable=True)

    saying = set()

    def heard(packet):
        task = asyncio.create_task(say(packet.data))
        saying.add(task)
        task.add_done_callback(saying.discard)

    job.room.on("data_received", heard)
    job.room.on("participant_disconnected", lambda _: job.shutdown())
    await job.connect()


if __name__ == "__main__":
    cli.run_app(server)
