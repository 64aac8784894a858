'use strict';
// A program as people write them with npm's ari-client: it answers the first caller, plays, reads
// digits, records, and brings three callers together in a bridge. It says each step on a line of its own,
// and goes on where the test says so.

const ari = require('ari-client');
const readline = require('readline');

const [url, user, secret, media] = process.argv.slice(2);
const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const step = (...words) => process.stdout.write(`step ${words.join(' ')}\n`);
const go = () => input.next();

// The next event of this type that concerns a thing, or all events.
const next = (of, type) => new Promise((resolve) => of.once(type, (event) => resolve(event)));
// The same where more is asked of it.
const nextThat = (client, type, fits) => new Promise((resolve) => {
  const listener = (event) => {
    if (fits(event)) {
      client.removeListener(type, listener);
      resolve(event);
    }
  };
  client.on(type, listener);
});

async function play(client, target, media) {
  const playback = client.Playback();
  const finished = next(playback, 'PlaybackFinished');
  const answered = await target.play({ media }, playback);
  if (answered.target_uri.indexOf(target.id) < 0) throw new Error(JSON.stringify(answered));
  const event = await finished;
  if (event.playback.state !== 'done') throw new Error(JSON.stringify(event));
}

async function front(client, channel) {
  if (channel.state !== 'Ring') throw new Error(`state ${channel.state}`);
  await channel.ring();
  const up = next(channel, 'ChannelStateChange');
  await channel.answer();
  if ((await up).channel.state !== 'Up') throw new Error('not up');
  step('answered', channel.caller.number, channel.dialplan.exten);
  await play(client, channel, 'sound:welcome');
  step('welcomed');
  let digits = '';
  await nextThat(client, 'ChannelDtmfReceived', (event) => {
    digits += event.digit;
    return event.digit === '#';
  });
  step('digits', digits);
  const recording = client.LiveRecording('voice-js');
  const began = next(recording, 'RecordingStarted');
  const ended = next(recording, 'RecordingFinished');
  await channel.record({ name: 'voice-js', format: 'wav', beep: true, terminateOn: '#' }, recording);
  await began;
  step('recording');
  const { recording: told } = await ended;
  step('recorded', told.state, told.duration);
  await play(client, channel, 'recording:voice-js');
  step('played-back');
  // A long play that is skipped, paused, and stopped.
  const long = client.Playback();
  const started = next(long, 'PlaybackStarted');
  const over = next(long, 'PlaybackFinished');
  await channel.play({ media: 'tone:1400/60000' }, long);
  await started;
  await long.control({ operation: 'pause' });
  if ((await long.get()).state !== 'paused') throw new Error('not paused');
  await long.control({ operation: 'unpause' });
  await long.stop();
  await over;
  await channel.setChannelVar({ variable: 'SEAT', value: 'head of the table' });
  const { value } = await channel.getChannelVar({ variable: 'SEAT' });
  step('variable', value);
}

// Somebody listens in on the first caller and records it, and a program of its own gets what is said in the
// bridge by RTP.
async function listen(client, first, bridge) {
  const aside = { app: 'meeting', appArgs: 'aside' };
  const heard = nextThat(client, 'RecordingFinished', (event) => event.recording.name === 'ear-js');
  const ear = await client.channels.snoopChannel({ channelId: first.id, spy: 'both', ...aside });
  await ear.record({ name: 'ear-js', format: 'wav', maxDurationSeconds: 1 });
  const other = await client.channels.externalMedia({
    external_host: media, format: 'ulaw', ...aside,
  });
  await bridge.addChannel({ channel: other.id });
  step('aside', other.channelvars.UNICASTRTP_LOCAL_PORT);
  await heard;
  step('heard');
  await go();
  await ear.hangup();
  await other.hangup();
}

async function together(client, channels) {
  const bridge = client.Bridge();
  await bridge.create({ type: 'mixing', name: 'table' });
  let count = 0;
  const all = nextThat(client, 'ChannelEnteredBridge', (event) => {
    count += event.bridge.id === bridge.id ? 1 : 0;
    return count === 3;
  });
  await bridge.addChannel({ channel: channels.map((channel) => channel.id) });
  const { bridge: seen } = await all;
  step('together', seen.channels.length);
  const recording = client.LiveRecording('table-js');
  const began = next(recording, 'RecordingStarted');
  await bridge.record({ name: 'table-js', format: 'wav' }, recording);
  await began;
  step('table-recording');
  await listen(client, channels[0], bridge);
  const announced = play(client, bridge, 'tone:!1000/3000');
  step('announcing');
  await announced;
  step('announced');
  return { bridge, recording };
}

async function apart(client, [a, b, c], { bridge, recording }) {
  const aside = await client.bridges.create({ type: 'mixing' });
  const left = nextThat(client, 'ChannelLeftBridge', (event) => event.channel.id === c.id);
  const entered = nextThat(client, 'ChannelEnteredBridge', (event) => event.bridge.id === aside.id);
  await aside.addChannel({ channel: c.id });
  await Promise.all([left, entered]);
  step('moved');
  await go();
  await b.mute({ direction: 'in' });
  step('muted');
  await go();
  await b.unmute({ direction: 'in' });
  const stored = next(recording, 'RecordingFinished');
  await recording.stop();
  step('table-stored', (await stored).recording.state);
  await client.recordings.copyStored({
    recordingName: 'table-js', destinationRecordingName: 'table-js-2',
  });
  const names = (await client.recordings.listStored()).map((one) => one.name);
  await client.recordings.deleteStored({ recordingName: 'table-js-2' });
  const file = await client.recordings.getStoredFile({ recordingName: 'table-js' });
  step('stored', names.join(','), file.length > 8000);
  step('channels', (await client.channels.list()).length, (await client.bridges.list()).length);
  const gone = nextThat(client, 'StasisEnd', (event) => event.channel.id === c.id);
  await c.continueInDialplan({ extension: '500' });
  await gone;
  step('continued');
  await go();
  for (const channel of [a, b]) {
    const destroyed = next(channel, 'ChannelDestroyed');
    await channel.hangup();
    const event = await destroyed;
    step('hung-up', event.cause, event.cause_txt);
  }
  await bridge.destroy();
  await aside.destroy();
  const missing = await client.bridges.get({ bridgeId: bridge.id }).catch((error) => error);
  step('missing', /no bridge/.test(missing.message));
}

async function main() {
  const client = await ari.connect(url, user, secret);
  const seats = [];
  const seated = new Promise((resolve, reject) => {
    client.on('StasisStart', (event, channel) => {
      if (event.args[0] === 'aside') return;
      const arrive = event.args[0] === 'front' ? front(client, channel) : channel.answer();
      arrive.then(() => {
        seats.push(channel);
        step('seated', seats.length);
        if (seats.length === 3) resolve();
      }, reject);
    });
  });
  await client.start('meeting');
  const { ping } = await client.asterisk.ping();
  step('ready', ping);
  await seated;
  const meeting = await together(client, seats);
  await apart(client, seats, meeting);
  step('done');
  client.stop();
  process.exit(0);
}

main().catch((error) => {
  step('failed', error.stack || error);
  process.exit(1);
});
