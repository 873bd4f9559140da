#!/usr/bin/env python3
"""A cable that takes its time: copies frames between two TAP devices, each way DELAY milliseconds late.

Usage: delayed_cable.py NAME NAME DELAY. Makes the devices, says "ready", and ends when its stdin does.
For kernels without netem. Node can't make the devices: it has no ioctl."""

import fcntl
import os
import selectors
import struct
import sys
import time
from collections import deque

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME, BATCH = 65536, 64


def open_tap(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


def read_frames(device):
    for _ in range(BATCH):
        try:
            yield os.read(device, FRAME)
        except OSError:
            return


def write_frame(device, frame):
    try:
        os.write(device, frame)
    except OSError:
        pass  # The other end is down, or full: the frame is lost, as on any cable.


def main(left, right, delay_ms):
    ends = [open_tap(left), open_tap(right)]
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    under_way = deque()  # (when it arrives, where, what), in order, since all take equally long
    selector = selectors.DefaultSelector()
    for device in [*ends, sys.stdin.fileno()]:
        selector.register(device, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        wait = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        for key, _ in selector.select(wait):
            if key.fd not in other:
                return  # stdin: whoever started it is gone
            arrival = time.monotonic() + delay_ms / 1000
            under_way.extend((arrival, other[key.fd], frame) for frame in read_frames(key.fd))
        while under_way and under_way[0][0] <= time.monotonic():
            _, device, frame = under_way.popleft()
            write_frame(device, frame)


main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
