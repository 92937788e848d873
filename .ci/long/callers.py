"""Callers of LiveKit rooms, for `echoes`: so many ROOMS, of which so many have AUDIO.

They ask for an agent in each room and talk from then on. When each has heard its first echo, "everybody talks" is
printed; upon the next line of input all hang up, and one line of JSON says what was heard.
"""

import array
import asyncio
import json
import math
import os
import sys
import time

from livekit import api, rtc

RATE, FRAME, TONE, LOUD = 48_000, 480, 440, 500
# Seconds between two messages of a caller, and for the echo of the last.
PERIOD, LAST = 0.2, 5


class Caller:
    """One who talks in one room."""

    def __init__(self, number):
        self.name, self.room, self.agents = f"room-{number}", rtc.Room(), set()
        self.answered = asyncio.Event()
        self.tasks = set()
        self.room.on("participant_connected", lambda agent: self.agents.add(agent.identity))

    def keep(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def join(self):
        agent = api.RoomAgentDispatch(agent_name="echo")
        grants = api.VideoGrants(room_join=True, room=self.name)
        made = api.AccessToken().with_identity("caller").with_grants(grants)
        token = made.with_room_config(api.RoomConfiguration(agents=[agent])).to_jwt()
        await self.room.connect(os.environ["LIVEKIT_URL"], token)
        self.agents.update(self.room.remote_participants)

    async def leave(self):
        for task in list(self.tasks):
            task.cancel()
        await self.room.disconnect()


class Tone(Caller):
    """Plays a tone, and takes the time in which none comes back."""

    def __init__(self, number):
        super().__init__(number)
        self.last, self.gap = None, 0.0
        self.room.on("track_subscribed", lambda track, *_: self.keep(self.listen(track)))

    async def talk(self):
        source = rtc.AudioSource(RATE, 1)
        await self.room.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("tone", source))
        self.keep(self.play(source))

    async def play(self, source):
        period = [int(10_000 * math.sin(2 * math.pi * TONE * at / RATE)) for at in range(RATE)]
        samples = array.array("h", period).tobytes()
        for begin in range(0, sys.maxsize, 2 * FRAME):
            begin %= 2 * RATE
            await source.capture_frame(rtc.AudioFrame(samples[begin:begin + 2 * FRAME], RATE, 1, FRAME))

    async def listen(self, track):
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            if max(event.frame.data, default=0) < LOUD:
                continue
            now = time.monotonic()
            self.gap = max(self.gap, now - self.last) if self.last is not None else 0.0
            self.last = now
            self.answered.set()

    def everybody_talks(self):
        self.gap = 0.0

    async def finish(self):
        """What is silent now is part of the gap."""
        self.gap = max(self.gap, time.monotonic() - self.last)


class Numbers(Caller):
    """Sends one number after the other, and waits for each to come back."""

    def __init__(self, number):
        super().__init__(number)
        self.sent, self.due = 0, set()
        self.room.on("data_received", self.heard)

    def heard(self, packet):
        self.due.discard(int(packet.data))
        self.answered.set()

    async def talk(self):
        self.keep(self.count())

    async def count(self):
        while True:
            # A message that nobody is there for is not lost.
            if self.agents:
                self.sent += 1
                self.due.add(self.sent)
                await self.room.local_participant.publish_data(str(self.sent), reliable=True)
            await asyncio.sleep(PERIOD)

    def everybody_talks(self):
        pass

    async def finish(self):
        for task in list(self.tasks):
            task.cancel()
        until = time.monotonic() + LAST
        while self.due and time.monotonic() < until:
            await asyncio.sleep(0.05)


async def main(rooms, audio):
    callers = [Tone(number) if number < audio else Numbers(number) for number in range(rooms)]
    for caller in callers:
        await caller.join()
        await caller.talk()
        await asyncio.wait_for(caller.answered.wait(), 60)
    for caller in callers:
        caller.everybody_talks()
    print("everybody talks", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(caller.finish() for caller in callers))
    tones, numbers = callers[:audio], callers[audio:]
    heard = {
        "gaps_ms": [round(1000 * tone.gap, 1) for tone in tones],
        "sent": sum(caller.sent for caller in numbers),
        "missing": sum(len(caller.due) for caller in numbers),
        "agents": [len(caller.agents) for caller in callers],
    }
    await asyncio.gather(*(caller.leave() for caller in callers))
    print(json.dumps(heard), flush=True)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
