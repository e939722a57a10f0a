"""Key frames with their reference frames, and batches of them for training.

A batch is a function of (seed, iteration) and nothing else."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from multiprocessing import active_children
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vistrials.data.augmentation import Clip, LabelledFrame, augment, flip_clip, tight_boxes
from vistrials.data.frames import read_frame
from vistrials.data.sampling import (
    KeyFrame,
    annotated_frames,
    choose_references,
    count_batches,
    group_key_frames,
    is_usable,
    match_instances,
    plan_batches,
)
from vistrials.data.transforms import (
    flip_boxes,
    flip_image,
    inclusive_boxes,
    padded_size,
    resize_boxes,
    resize_image,
    resize_masks,
    resize_shape,
)
from vistrials.errors import DataError, ProcessDied, SpecError, VistrialsError, how_it_ended
from vistrials.formats.annotations import decode_mask
from vistrials.machine import num_cores
from vistrials.specs.data import AugmentationSpec, DataSpec
from vistrials.specs.training import TrainSpec
from vistrials.structures.frames import FramePair, FramePairBatch
from vistrials.structures.video import VideoSet

# First numbers of the random seeds, so that no two uses draw the same stream.
_PAIR_STREAM, _PLAN_STREAM = 1, 2


class Instances(NamedTuple):
    """Ground truth of one resized frame, masks aside.

    track_ids: N; boxes: (N, 4) float32, inclusive corners; labels: (N,) int64 in 1..K.
    """

    track_ids: list[int]
    boxes: Tensor
    labels: Tensor


class FramePairDataset:
    """Key frames of a video set as training samples.

    Args:
        video_set: annotated videos.
        data: frame size, flip, choice of reference frames and grouping into batches.
        seed: of all random choices.
        cache_frames: keep resized frames (uint8) and masks (one bit per pixel) in memory once they were read.

    Raises:
        DataError: no frame has an instance to train on.
    """

    def __init__(self, video_set: VideoSet, data: DataSpec, seed: int, cache_frames: bool = False) -> None:
        self.video_set = video_set
        self.data = data
        self.seed = seed
        self.annotated = [annotated_frames(video) for video in video_set.videos]
        self.key_frames, self.groups = group_key_frames(video_set.videos, self.annotated, data.batching)
        if not self.key_frames:
            raise DataError(
                f"{video_set.frames_dir}: no frame of the {len(video_set.videos)} videos has an instance to "
                "train on; `vistrials data check` says what is wrong with the annotations"
            )
        self._resized = [resize_shape((v.height, v.width), data.image_size_px) for v in video_set.videos]
        keep = cache if cache_frames else lambda load: load
        self._image = keep(self._load_image)
        self._instances = keep(self._load_instances)
        self._packed_masks = keep(self._load_packed_masks)

    def __len__(self) -> int:
        """Number of key frames."""
        return len(self.key_frames)

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of a key frame after the resize."""
        return self._resized[self.key_frames[index].video][0]

    def clip(self, index: int, epoch: int, position: int, progress: float = 0.0) -> list[FramePair]:
        """Build one training sample: a key frame paired with each of its reference frames.

        Args:
            index: of the key frame.
            epoch, position: its place in the training, counted in samples within the epoch; with the seed,
                they decide on the flip and the reference frames.
            progress: part of the training that is behind, 0 to 1.

        Returns:
            `data.num_references` pairs, as `choose_references` orders them; they share what is of the key frame.
        """
        rng = default_rng((_PAIR_STREAM, self.seed, epoch, position))
        # The flip first: it is then the same under every choice of reference frames.
        is_flipped = rng.random() < self.data.flip_probability
        key = self.key_frames[index]
        references = self._references(key, rng, progress)
        if self.data.augmentation is not None:
            return self._augmented_clip(key, references, is_flipped, self.data.augmentation, rng, progress)
        instances, *of_references = (self._instances(frame) for frame in (key, *references))
        # Clones, since the originals may live in the cache.
        boxes, *reference_boxes = (of_frame.boxes.clone() for of_frame in (instances, *of_references))
        image, *images = (self._image(frame).clone() for frame in (key, *references))
        masks = self._masks(key)
        if is_flipped:
            width = self.size(index)[1]
            boxes, *reference_boxes = (flip_boxes(of_frame, width) for of_frame in (boxes, *reference_boxes))
            image, *images, masks = (flip_image(image) for image in (image, *images, masks))
        labels = instances.labels.clone()
        objects = _number_objects([of_frame.track_ids for of_frame in of_references])
        return [
            FramePair(
                key_image=image,
                reference_image=images[i],
                boxes=boxes,
                labels=labels,
                masks=masks,
                reference_boxes=reference_boxes[i],
                reference_labels=of_frame.labels.clone(),
                reference_objects=objects[i],
                instance_match=_match(instances.track_ids, of_frame.track_ids),
            )
            for i, of_frame in enumerate(of_references)
        ]

    def _references(self, key: KeyFrame, rng: Generator, progress: float) -> list[KeyFrame]:
        frames, data = self.annotated[key.video], self.data
        chosen = choose_references(frames, key.frame, data.sampling, data.num_references, rng, progress)
        return [key._replace(frame=frame) for frame in chosen]

    def _augmented_clip(
        self,
        key: KeyFrame,
        references: list[KeyFrame],
        is_flipped: bool,
        spec: AugmentationSpec,
        rng: Generator,
        progress: float,
    ) -> list[FramePair]:
        donor = None
        if rng.random() < spec.copy_paste:
            donor_key = self.key_frames[rng.integers(len(self.key_frames))]
            donor = self._labelled_clip(donor_key, self._references(donor_key, rng, progress))
        frames = augment(self._labelled_clip(key, references), donor, spec, rng)
        if is_flipped:
            frames = flip_clip(frames)
        image, masks, ids, labels = frames[0]
        objects = _number_objects([frame.track_ids for frame in frames[1:]])
        of_key = {
            "key_image": torch.from_numpy(np.ascontiguousarray(image)),
            "boxes": torch.from_numpy(tight_boxes(masks)),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "masks": torch.from_numpy(np.ascontiguousarray(masks)),
        }
        return [
            FramePair(
                **of_key,
                reference_image=torch.from_numpy(np.ascontiguousarray(frame.image)),
                reference_boxes=torch.from_numpy(tight_boxes(frame.masks)),
                reference_labels=torch.tensor(frame.labels, dtype=torch.int64),
                reference_objects=of_frame,
                instance_match=_match(ids, frame.track_ids),
            )
            for frame, of_frame in zip(frames[1:], objects, strict=True)
        ]

    def _labelled_clip(self, key: KeyFrame, references: list[KeyFrame]) -> Clip:
        return self._labelled(key), *(self._labelled(frame) for frame in references)

    def _labelled(self, key: KeyFrame) -> LabelledFrame:
        instances = self._instances(key)
        # One pixel, one instance: annotated masks may touch by a pixel after the resize.
        masks = self._masks(key).numpy()
        masks[1:] &= ~np.bitwise_or.accumulate(masks[:-1], axis=0)
        return LabelledFrame(self._image(key).numpy(), masks, instances.track_ids, instances.labels.tolist())

    def _load_image(self, key: KeyFrame) -> Tensor:
        video = self.video_set.videos[key.video]
        image = resize_image(read_frame(self.video_set, video, key.frame), self._resized[key.video][0])
        return torch.from_numpy(np.ascontiguousarray(image))

    def _load_instances(self, key: KeyFrame) -> Instances:
        tracks = [t for t in self.video_set.videos[key.video].tracks if is_usable(t, key.frame)]
        size, scale = self._resized[key.video]
        labels = [self.video_set.label_by_category_id[track.category_id] for track in tracks]
        boxes = inclusive_boxes([bbox for t in tracks if (bbox := t.bboxes[key.frame]) is not None])
        return Instances(
            [track.id for track in tracks],
            resize_boxes(boxes, scale, size),
            torch.tensor(labels, dtype=torch.int64),
        )

    def _load_packed_masks(self, key: KeyFrame) -> NDArray[np.uint8]:
        video = self.video_set.videos[key.video]
        size, _ = self._resized[key.video]
        masks = []
        for track in video.tracks:
            if not is_usable(track, key.frame):
                continue
            try:
                mask = decode_mask(track.segmentations[key.frame], video.height, video.width)
            except DataError as error:
                raise DataError(f"video {video.id}, annotation {track.id}, frame {key.frame}: {error}") from None
            masks.append(resize_masks(mask[None], size)[0])
        return np.packbits(np.stack(masks), axis=-1)

    def _masks(self, key: KeyFrame) -> Tensor:
        (_, width), _ = self._resized[key.video]
        return torch.from_numpy(np.unpackbits(self._packed_masks(key), axis=-1, count=width))


def _match(key_track_ids: list[int], reference_track_ids: list[int]) -> Tensor:
    return torch.tensor(match_instances(key_track_ids, reference_track_ids), dtype=torch.int64)


def _number_objects(track_ids: list[list[int]]) -> list[Tensor]:
    """Of frames with so many instances each, the numbers 0, 1, ... of their tracks by first appearance; int64."""
    numbers: dict[int, int] = {}
    return [torch.tensor([numbers.setdefault(i, len(numbers)) for i in ids], dtype=torch.int64) for ids in track_ids]


def collate(clips: list[list[FramePair]], size: tuple[int, int] | None = None) -> FramePairBatch:
    """Join samples, padded right and bottom.

    Args:
        clips: B samples of equally many pairs.
        size: (height, width) to pad to; by default the largest of them, up to a multiple of 32.
    """
    keys, pairs = [clip[0] for clip in clips], [pair for pairs in zip(*clips, strict=True) for pair in pairs]
    image_sizes = [(key.key_image.shape[1], key.key_image.shape[2]) for key in keys]
    size = size or padded_size(image_sizes)
    return FramePairBatch(
        key_images=_stack([key.key_image for key in keys], size),
        reference_images=_stack([pair.reference_image for pair in pairs], size),
        image_sizes=image_sizes,
        boxes=[key.boxes for key in keys],
        labels=[key.labels for key in keys],
        masks=[_stack([key.masks], size)[0] for key in keys],
        reference_boxes=[pair.reference_boxes for pair in pairs],
        reference_labels=[pair.reference_labels for pair in pairs],
        reference_objects=[pair.reference_objects for pair in pairs],
        instance_match=[pair.instance_match for pair in pairs],
    )


def _stack(images: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Images of equal depth, (C, h, w) each, padded to one size -> (len(images), C, *size)."""
    # In NumPy for the reason given in `normalise`.
    stacked = np.zeros((len(images), len(images[0]), *size), images[0].numpy().dtype)
    for target, image in zip(stacked, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    return torch.from_numpy(stacked)


class PairBatches(Dataset[FramePairBatch]):
    """All batches of a training, by iteration number; a rank sees its slice of each.

    Args:
        dataset: frame pairs.
        batch_size: pairs per batch over all ranks.
        rank, world_size: this process among all.
        spec: says how long the training is, for reference frames that depend on its progress (None: at its beginning).

    Raises:
        SpecError: the batch cannot be shared out evenly.
    """

    def __init__(
        self,
        dataset: FramePairDataset,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        spec: TrainSpec | None = None,
    ) -> None:
        if batch_size % world_size:
            raise SpecError(
                f"train.batch_size is {batch_size} but there are {world_size} devices; "
                f"expected a multiple of {world_size}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.iters_per_epoch = count_batches(dataset.groups, batch_size)
        self._total_iters = spec.total_iters(self.iters_per_epoch) if spec else 0
        share = batch_size // world_size
        self._own = range(rank * share, (rank + 1) * share)
        self._epoch, self._plan = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, iteration: int) -> FramePairBatch:
        epoch, number = divmod(iteration, self.iters_per_epoch)
        if epoch != self._epoch:
            rng = default_rng((_PLAN_STREAM, self.dataset.seed, epoch))
            batching = self.dataset.data.batching
            self._plan = plan_batches(self.dataset.groups, self.batch_size, batching, rng)
            self._epoch = epoch
        indices = self._plan[number].tolist()
        first = number * self.batch_size
        progress = iteration / self._total_iters if self._total_iters else 0.0
        clips = [self.dataset.clip(indices[slot], epoch, first + slot, progress) for slot in self._own]
        # Padding, too, is that of the batch over all ranks: attention runs over padded cells.
        return collate(clips, padded_size([self.dataset.size(index) for index in indices]))


class PairLoader(Iterable[FramePairBatch]):
    """Batches without end, from iteration `start_iter` on; epochs follow one another without a seam.

    Args:
        batches: the training's batches.
        start_iter: number of the first batch.
        num_workers: processes that load ahead; 0 loads in this one.
        pin_memory: put them where a GPU can fetch them while the host goes on.

    Attributes:
        iters_per_epoch: batches of one pass over the key frames.
    """

    def __init__(
        self, batches: PairBatches, start_iter: int = 0, num_workers: int = 0, pin_memory: bool = False
    ) -> None:
        self.batches = batches
        self.iters_per_epoch = batches.iters_per_epoch
        self._loader = DataLoader(
            _ErrorsAsValues(batches),
            batch_size=None,
            sampler=_CountFrom(start_iter),
            num_workers=num_workers,
            pin_memory=pin_memory,
            collate_fn=_as_it_is,
        )

    def __iter__(self) -> Iterator[FramePairBatch]:
        """The batches.

        Raises:
            ProcessDied: one of the processes that load is gone; told within 5 s, and only here.
        """
        others = set(active_children())
        try:
            with _signals_for_this_process():
                batches = iter(self._loader)
        except RuntimeError as error:  # of torch's handler, where another thread was told that a child has ended
            raise ProcessDied(f"a process that loads data ended as soon as it began ({error})") from None
        processes = set(active_children()) - others
        try:
            while True:
                try:
                    batch = next(batches)
                except (RuntimeError, OSError, EOFError):  # the last two where it died amid the handing over
                    wait([process.sentinel for process in processes], timeout=1)
                    ends = [how_it_ended(process.exitcode) for process in processes if not process.is_alive()]
                    num = self._loader.num_workers
                    if len(processes) < num:  # whose end was taken note of before it could be looked at
                        ends.append("ended as soon as it began")
                    if not ends:
                        raise
                    raise ProcessDied(
                        f"one of {num} processes that load data {ends[0]}; --set train.num_workers={num // 2} has fewer"
                    ) from None
                if isinstance(batch, VistrialsError):
                    raise batch
                yield batch
        finally:
            del batches  # which asks them to end
            for process in processes:
                process.kill()
                process.join()


def build_pair_loader(
    video_set: VideoSet,
    data: DataSpec,
    train: TrainSpec,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    start_iter: int = 0,
    pin_memory: bool = False,
) -> PairLoader:
    """Build the endless loader of a training's batches.

    Every batch depends on (seed, iteration) alone: a training resumed at `start_iter` sees what an
    uninterrupted one sees, whatever the number of workers, and all ranks together see the same batch.

    Args:
        video_set: annotated videos.
        data: frame size, flip, reference frames, batching.
        train: batch_size (over all devices), num_workers, cache_frames (which loads in this process).
        seed: of all random choices, 0 or more.
        rank, world_size: this process among all.
        start_iter: number of the first batch.
        pin_memory: as of `PairLoader`.

    Raises:
        DataError: no frame has an instance to train on.
        SpecError: batch_size is no multiple of world_size.
    """
    dataset = FramePairDataset(video_set, data, seed, train.cache_frames)
    batches = PairBatches(dataset, train.batch_size, rank, world_size, train)
    # More processes than cores only take turns.
    num_workers = 0 if train.cache_frames else min(train.num_workers, num_cores())
    return PairLoader(batches, start_iter, num_workers, pin_memory)


@contextmanager
def _signals_for_this_process() -> Iterator[None]:
    """Processes started in here are out of reach of signals: what these mean is for this one to say.

    Ctrl-C and schedulers such as Slurm signal all processes of a group at once; without its loaders the training could
    not come to the end of its step. And a loader's own end is told where its batch is missed: torch's handler would
    raise the error anywhere, such as amid the writing of a checkpoint.
    """
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _CountFrom(Sampler[int]):
    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return count(self.start)


class _ErrorsAsValues(Dataset[FramePairBatch | VistrialsError]):
    # An exception raised in a worker process would reach the user as a traceback of many lines.
    def __init__(self, batches: PairBatches) -> None:
        self.batches = batches

    def __getitem__(self, iteration: int) -> FramePairBatch | VistrialsError:
        try:
            return self.batches[iteration]
        except VistrialsError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch
