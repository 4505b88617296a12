"""Runs in the guest: plays pictures of one colour into a v4l2loopback device: red, green, blue and so on, three seconds each by
the clock, so that the time of a picture tells its colour.

    python3 feeder.py /dev/video10 WIDTH HEIGHT FPS
"""

import fcntl
import os
import struct
import sys
import time

VIDIOC_S_FMT, VIDEO_OUTPUT = 0xC0D05605, 2
YUV = ((76, 85, 255), (150, 44, 21), (29, 255, 107))  # red, green, blue, full range BT.601


def main() -> None:
    device, width, height, fps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    descriptor = os.open(device, os.O_RDWR)
    pixels = struct.pack("8I", width, height, int.from_bytes(b"YUYV", "little"), 1, 2 * width, 2 * width * height, 8, 0)
    fcntl.ioctl(descriptor, VIDIOC_S_FMT, bytearray(struct.pack("I4x", VIDEO_OUTPUT) + pixels + bytes(200 - len(pixels))))
    frames = [bytes((y, u, y, v)) * (width * height // 2) for y, u, v in YUV]
    start = time.monotonic()
    count = 0
    while True:
        os.write(descriptor, frames[int(time.time()) // 3 % 3])
        count = max(count + 1, round((time.monotonic() - start) * fps))
        time.sleep(max(start + count / fps - time.monotonic(), 0))


main()
