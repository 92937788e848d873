"""Joins a LiveKit room and echoes what it hears until the last caller has left.

The room's server is the argument, and the token is the first line of standard input. While it hears somebody it prints a
line each second; "over" is its last one. It stays in the room until its standard input ends: the worker has told LiveKit
the job's result by then. Needs the package `livekit` (pip install livekit).
"""

import asyncio
import sys
import time

from livekit import rtc

RATE = 48_000


async def main() -> None:
    url, token = sys.argv[1], sys.stdin.readline().strip()
    room, alone, told = rtc.Room(), asyncio.Event(), {"at": 0.0}
    source = rtc.AudioSource(RATE, 1)
    tasks = set()

    def hears() -> None:
        if time.monotonic() > told["at"] + 1:
            told["at"] = time.monotonic()
            print("hears", flush=True)

    async def echo(track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            hears()
            await source.capture_frame(event.frame)

    @room.on("track_subscribed")
    def heard(track, publication, participant):
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            task = asyncio.ensure_future(echo(track))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    @room.on("data_received")
    def received(packet: rtc.DataPacket):
        hears()
        task = asyncio.ensure_future(room.local_participant.publish_data(packet.data, reliable=True))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @room.on("participant_disconnected")
    def left(participant):
        if not room.remote_participants:
            alone.set()

    @room.on("disconnected")
    def gone(reason):
        alone.set()

    await room.connect(url, token)
    await room.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("echo", source))
    await alone.wait()
    print("over", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await room.disconnect()


asyncio.run(main())
