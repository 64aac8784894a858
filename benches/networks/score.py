"""PESQ (ITU-T P.862, P.862.2) of pairs of WAV files.

Reads lines "nb|wb <reference.wav> <degraded.wav>" from standard input and prints a score for
each, in order; "nan" where PESQ finds no speech.
"""

import sys
import wave
from concurrent.futures import ProcessPoolExecutor

import numpy
from pesq import PesqError, pesq


def read(path):
    with wave.open(path) as file:
        rate = file.getframerate()
        return rate, numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def score(line):
    mode, reference, degraded = line.split()
    rate, clean = read(reference)
    _, heard = read(degraded)
    found = pesq(rate, clean, heard, mode, on_error=PesqError.RETURN_VALUES)
    return found if found >= 0 else float("nan")


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        for value in pool.map(score, sys.stdin.read().splitlines(), chunksize=4):
            print(f"{value:.4f}")
