#!/bin/sh
# Makes the bundled prompts from prompts.txt: 16 kHz mono WAV, silences trimmed, speech at
# about -20 dBov RMS. Needs espeak-ng and sox. The results are committed; run this only
# after a change of the text.
set -eu
cd "$(dirname "$0")"
tab=$(printf '\t')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

while IFS="$tab" read -r name text; do
    case $name in '' | '#'*) continue ;; esac
    espeak-ng -v en -s 150 -w "$work/raw.wav" "$text"
    # Trim to 20 ms of silence at both ends.
    sox -D "$work/raw.wav" -r 16000 -c 1 -b 16 "$work/cut.wav" \
        highpass 80 silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse pad 0.02 0.02
    rms=$(sox "$work/cut.wav" -n stats 2>&1 | awk '/^RMS lev dB/ { print $4 }')
    # The limiter of `gain -l` rounds what peaks beyond full scale.
    sox -D "$work/cut.wav" "$name.wav" gain -l "$(awk "BEGIN { print -20 - ($rms) }")" \
        fade t 0.022 0 0.022
done <prompts.txt

# The beep before a recording: 1 kHz for 250 ms at -10 dBm0, soft edges.
sox -D -n -r 16000 -c 1 -b 16 beep.wav synth 0.25 sine 1000 gain -n -13.14 fade t 0.005 0.25 0.005
