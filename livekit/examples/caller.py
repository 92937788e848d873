"""Calls an agent: asks a LiveKit server for one in a room, joins that room, plays a tone, and says what comes back.

    python3 livekit/examples/caller.py ROOM [SECONDS]

The server and the key come from LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, the agent's name from
LIVEKIT_AGENT_NAME (echo, if it is not set). Needs two packages: pip install livekit livekit-api.
"""

import array
import asyncio
import math
import os
import sys
import time

from livekit import api, rtc

RATE, FRAME, TONE, LOUD = 48_000, 480, 440, 500


def token(room: str) -> str:
    """Lets its holder into the room, which asks for the agent when it is made."""
    agent = api.RoomAgentDispatch(agent_name=os.environ.get("LIVEKIT_AGENT_NAME") or "echo")
    grants = api.VideoGrants(room_join=True, room=room)
    made = api.AccessToken().with_identity("caller").with_grants(grants)
    return made.with_room_config(api.RoomConfiguration(agents=[agent])).to_jwt()


async def play(source: rtc.AudioSource) -> None:
    for begin in range(0, sys.maxsize, FRAME):
        wave = (math.sin(2 * math.pi * TONE * at / RATE) for at in range(begin, begin + FRAME))
        samples = array.array("h", (int(10_000 * value) for value in wave))
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, FRAME))


async def main(name: str, seconds: float) -> None:
    room, begun, tasks = rtc.Room(), time.monotonic(), set()
    heard = {"loud": 0, "last": None, "gap": 0.0}

    async def listen(track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            if max(event.frame.data, default=0) < LOUD:
                continue
            now = time.monotonic()
            if heard["last"] is None:
                print(f"the echo is there after {now - begun:.1f} s", flush=True)
            else:
                heard["gap"] = max(heard["gap"], now - heard["last"])
            heard["loud"], heard["last"] = heard["loud"] + 1, now

    def keep(work) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @room.on("track_subscribed")
    def subscribed(track, publication, participant):
        keep(listen(track))

    @room.on("participant_connected")
    def connected(participant):
        print(f"{participant.identity} has joined: {dict(participant.attributes)}", flush=True)

    @room.on("participant_disconnected")
    def disconnected(participant):
        print(f"{participant.identity} has left", flush=True)

    await room.connect(os.environ["LIVEKIT_URL"], token(name))
    source = rtc.AudioSource(RATE, 1)
    await room.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("tone", source))
    keep(play(source))
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    print(f"heard {heard['loud']} frames of 10 ms in {seconds:.0f} s, the longest gap was {1000 * heard['gap']:.0f} ms")
    await room.disconnect()


asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 30))
