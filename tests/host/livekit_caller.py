"""A caller of livekit_agent.py: `caller.py URL ROOM` joins the room, sends numbered messages, and waits for the echo of each.
It says "talking" after the first, and how many it sent, heard and how long the longest wait was when its input ends."""
import asyncio
import sys
import time

from livekit import api, rtc


async def main(url, name):
    grants = api.VideoGrants(room_join=True, room=name)
    config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="echo")])
    token = api.AccessToken("devkey", "secret").with_identity("caller").with_grants(grants).with_room_config(config)
    room, echoes, ended = rtc.Room(), asyncio.Queue(), asyncio.Event()
    room.on("data_received", lambda packet: echoes.put_nowait(packet.data))
    await room.connect(url, token.to_jwt())
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    sent, heard, longest = 0, 0, 0.0
    while not ended.is_set():
        message = b"%d" % sent
        began = time.monotonic()
        # Until the agent is there nobody answers: the first message is said again.
        while True:
            await room.local_participant.publish_data(message, reliable=True)
            try:
                echo = await asyncio.wait_for(echoes.get(), 0.5 if sent == 0 else 20)
                break
            except TimeoutError:
                if sent:
                    raise
        while sent == 0 and not echoes.empty():
            echoes.get_nowait()
        if echo != message:
            sys.exit(f"{echo} came back for {message}")
        heard += 1
        if sent == 0:
            print("talking", flush=True)
        else:
            longest = max(longest, time.monotonic() - began)
        sent += 1
        await asyncio.sleep(0.05)
    print(f"sent {sent} heard {heard} longest_ms {longest * 1000:.0f}", flush=True)
    await room.disconnect()


asyncio.run(main(sys.argv[1], sys.argv[2]))
