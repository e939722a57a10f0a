"""`vistrials track` on a long video: frames per second, memory along the way, and what the files hold in the end.

Run: python -m benchmarks.tracking_video FRAMES --weights FILE [--frames 3000] [--rotation 90]
FRAMES is a folder of images, which are played forwards and backwards in turn until the video is long enough.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vistrials.formats.images import read_pixels
from vistrials.own_video.names import name_outputs
from vistrials.own_video.network import find_weights, load_network
from vistrials.own_video.tracking import track
from vistrials.video_files.sources import find_sources

RATE = Fraction(24)
EVERY = 100


class MemoryReporter:
    """Notes resident memory and time every 100 frames."""

    def __init__(self) -> None:
        self.frames = 0
        self.curve: list[tuple[int, float, float]] = []
        self._began = time.perf_counter()

    def stage(self, name: str, total: int | None) -> None:
        self._began = time.perf_counter()

    def advance(self, steps: int = 1, **values: float) -> None:
        self.frames += steps
        if self.frames % EVERY == 0:
            self.curve.append((self.frames, resident_mib(), time.perf_counter() - self._began))

    def message(self, text: str) -> None:
        print(text)

    warning = message


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def make_video(images: list[Path], path: Path, num_frames: int, rotation: int) -> None:
    """The images there and back again; with a rotation they lie in the file as a phone stores them."""
    forth: list[Path] = [*images, *images[-2:0:-1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width = _stored(images[0], rotation).shape[:2]
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number, image in enumerate(islice(cycle(forth), num_frames)):
            frame = av.VideoFrame.from_ndarray(_stored(image, rotation), "rgb24")
            frame.pts, frame.time_base = number, 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _stored(image: Path, rotation: int) -> NDArray[np.uint8]:
    turned = np.rot90(read_pixels(image), -rotation // 90)
    height, width = (side // 2 * 2 for side in turned.shape[:2])
    return np.ascontiguousarray(turned[:height, :width])


def describe(path: Path) -> Iterator[str]:
    """What a player reads of a video; by ffprobe where it is installed."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        seconds = float((stream.duration or 0) * (stream.time_base or 0))
        yield (
            f"{path.name}: {context.name} ({context.profile}), {context.pix_fmt}, {context.width} x {context.height}, "
            f"{stream.frames} frames, {stream.average_rate} per second, {seconds:.3f} s, {path.stat().st_size:,} bytes"
        )
    content = path.read_bytes()
    yield f"{path.name}: index before the frames: {content.index(b'moov') < content.index(b'mdat')}"
    if probe := shutil.which("ffprobe"):
        entries = "stream=codec_name,profile,pix_fmt,width,height,color_space,avg_frame_rate,nb_frames,duration"
        command = [probe, "-v", "error", "-of", "compact", "-show_entries", entries, str(path)]
        yield subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, metavar="FRAMES", help="folder of images")
    parser.add_argument("--weights", required=True, help="file of weights, or shipped:NAME with --trial and --profile")
    parser.add_argument("--trial")
    parser.add_argument("--profile")
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--rotation", type=int, choices=(0, 90, 180, 270), default=0)
    parser.add_argument("--score", type=float, default=0.3)
    parser.add_argument("--out", type=Path, help="folder to keep what is made in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        video = folder / "looped.mp4"
        make_video(list(find_sources([arguments.images])[0].paths), video, arguments.frames, arguments.rotation)
        sources = find_sources([video])
        outputs = [str(folder / "overlay.mp4"), str(folder / "tracks.json"), str(folder / "boxes.csv")]
        network = load_network(find_weights(arguments.weights, arguments.trial, arguments.profile), "cpu")
        reporter = MemoryReporter()
        [summary] = track(
            sources, name_outputs(outputs, sources), network, min_score=arguments.score, reporter=reporter
        )
        print("frames    MiB  frames/s since the row before")
        before = (0, 0.0)
        for frames, mib, seconds in reporter.curve:
            print(f"{frames:6d} {mib:6.0f}  {(frames - before[0]) / (seconds - before[1]):.1f}")
            before = frames, seconds
        print(f"{summary.num_frames} frames, {summary.num_objects} objects shown, {summary.seconds:.1f} s, "
              f"{summary.num_frames / summary.seconds:.1f} frames per second")  # fmt: skip
        tracks = json.loads((folder / "tracks.json").read_text())
        print(f"tracks.json: {len(tracks)} tracks, {(folder / 'tracks.json').stat().st_size:,} bytes")
        for line in chain(describe(video), describe(folder / "overlay.mp4")):
            print(line)


if __name__ == "__main__":
    main()
