"""The same program as meeting.js, with PyPI's asyncari."""

import sys

import anyio
import asyncari

url, user, secret, media = sys.argv[1:5]


def step(*words):
    print("step", *words, flush=True)


async def go():
    await anyio.to_thread.run_sync(sys.stdin.readline)


class Waiter:
    """The next event of a type that fits. It listens from when it is made."""

    def __init__(self, client, kind, fits=lambda event: True):
        self.events = client.on_event(kind, filter=None)
        self.found = anyio.Event()
        self.event = None
        self.fits = fits
        client.taskgroup.start_soon(self.listen)

    async def listen(self):
        async with self.events as events:
            async for event in events:
                if self.fits(event):
                    self.event = event
                    self.found.set()
                    return

    async def wait(self):
        await self.found.wait()
        return self.event


async def waiter(client, kind, fits=lambda event: True):
    made = Waiter(client, kind, fits)
    # Its task has to have begun before anything can happen.
    await anyio.sleep(0.01)
    return made


async def play(client, target, media):
    playback = await target.play(media=media)
    await playback.wait_done()
    assert playback.json["state"] == "done", playback.json


async def front(client, channel):
    assert channel.state == "Ring", channel.state
    await channel.ring()
    up = await waiter(client, "ChannelStateChange")
    await channel.answer()
    assert (await up.wait()).channel.state == "Up"
    step("answered", channel.caller["number"], channel.dialplan["exten"])
    await play(client, channel, "sound:welcome")
    digits = []

    def fits(event):
        digits.append(event.digit)
        return event.digit == "#"

    pressed = await waiter(client, "ChannelDtmfReceived", fits)
    step("welcomed")
    await pressed.wait()
    step("digits", "".join(digits))
    began = await waiter(client, "RecordingStarted")
    ended = await waiter(client, "RecordingFinished")
    await channel.record(name="voice-py", format="wav", beep=True, terminateOn="#")
    await began.wait()
    step("recording")
    told = (await ended.wait())["recording"]
    step("recorded", told["state"], told["duration"])
    await play(client, channel, "recording:voice-py")
    step("played-back")
    long = await channel.play(media="tone:1400/60000")
    await long.wait_playing()
    await long.control(operation="pause")
    paused = await client.playbacks.get(playbackId=long.id)
    assert paused.json["state"] == "paused", paused.json
    await long.control(operation="unpause")
    await long.stop()
    await long.wait_done()
    await channel.setChannelVar(variable="SEAT", value="head of the table")
    value = await channel.getChannelVar(variable="SEAT")
    step("variable", value["value"])


async def listen(client, first, bridge):
    aside = {"app": "meeting", "appArgs": "aside"}
    heard = await waiter(
        client, "RecordingFinished", lambda event: event["recording"]["name"] == "ear-py"
    )
    ear = await client.channels.snoopChannel(channelId=first.id, spy="both", **aside)
    await ear.record(name="ear-py", format="wav", maxDurationSeconds=1)
    other = await client.channels.externalMedia(external_host=media, format="ulaw", **aside)
    await bridge.addChannel(channel=other.id)
    step("aside", other.json["channelvars"]["UNICASTRTP_LOCAL_PORT"])
    await heard.wait()
    step("heard")
    await go()
    await ear.hangup()
    await other.hangup()


async def together(client, channels):
    bridge = await client.bridges.create(type="mixing", name="table")
    bridge.remember()
    inside = []

    def fits(event):
        inside.append(event.channel.id)
        return len(inside) == 3

    entered = await waiter(client, "ChannelEnteredBridge", fits)
    await bridge.addChannel(channel=[channel.id for channel in channels])
    event = await entered.wait()
    step("together", len(event["bridge"]["channels"]))
    began = await waiter(client, "RecordingStarted")
    recording = await bridge.record(name="table-py", format="wav")
    await began.wait()
    step("table-recording")
    await listen(client, channels[0], bridge)
    playback = await bridge.play(media="tone:!1000/3000")
    step("announcing")
    await playback.wait_done()
    step("announced")
    return bridge, recording


async def apart(client, channels, bridge, recording):
    a, b, c = channels
    aside = await client.bridges.create(type="mixing")
    aside.remember()
    left = await waiter(client, "ChannelLeftBridge", lambda event: event.channel.id == c.id)
    entered = await waiter(
        client, "ChannelEnteredBridge", lambda event: event.bridge.id == aside.id
    )
    await aside.addChannel(channel=c.id)
    await left.wait()
    await entered.wait()
    step("moved")
    await go()
    await b.mute(direction="in")
    step("muted")
    await go()
    await b.unmute(direction="in")
    stored = await waiter(client, "RecordingFinished")
    await recording.stop()
    step("table-stored", (await stored.wait())["recording"]["state"])
    await client.recordings.copyStored(
        recordingName="table-py", destinationRecordingName="table-py-2"
    )
    names = [one.name for one in await client.recordings.listStored()]
    await client.recordings.deleteStored(recordingName="table-py-2")
    # This client takes every answer for JSON: the file itself is asked for as it would be without.
    file = await client.swagger.recordings.getStoredFile(recordingName="table-py")
    step("stored", ",".join(names), str(len(file.content) > 8000).lower())
    step("channels", len(await client.channels.list()), len(await client.bridges.list()))
    gone = await waiter(client, "StasisEnd", lambda event: event.channel.id == c.id)
    await c.continueInDialplan(extension="500")
    await gone.wait()
    step("continued")
    await go()
    for channel in (a, b):
        destroyed = await waiter(client, "ChannelDestroyed")
        await channel.hangup()
        event = await destroyed.wait()
        step("hung-up", event.cause, event.cause_txt)
    await bridge.destroy()
    await aside.destroy()
    try:
        await client.bridges.get(bridgeId=bridge.id)
        step("missing false")
    except Exception as error:
        step("missing", str("404" in str(error.__cause__)).lower())


async def main():
    async with asyncari.connect(url, ["meeting"], user, secret) as client:
        seats = []
        seated = anyio.Event()

        async def arrive(channel, event):
            if event["args"][0] == "aside":
                return
            if event["args"][0] == "front":
                await front(client, channel)
            else:
                await channel.answer()
            seats.append(channel)
            step("seated", len(seats))
            if len(seats) == 3:
                seated.set()

        async def guarded(channel, event):
            try:
                await arrive(channel, event)
            except Exception as error:
                step("failed", repr(error))
                raise

        async def callers():
            async with client.on_channel_event("StasisStart") as calls:
                async for channel, event in calls:
                    client.taskgroup.start_soon(guarded, channel, event)

        client.taskgroup.start_soon(callers)
        await anyio.sleep(0.01)
        pong = await client.asterisk.ping()
        step("ready", pong["ping"])
        await seated.wait()
        bridge, recording = await together(client, seats)
        await apart(client, seats, bridge, recording)
        step("done")


anyio.run(main)
