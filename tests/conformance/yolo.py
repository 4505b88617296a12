"""A detector in the shape of YOLOv8: C2f blocks, SPPF, an FPN and PAN neck, and a head that decodes boxes from distributions.

Written from the published structure (CSP bottlenecks that concatenate every step, decoupled head, 16 bins per side); sizes are
a small fraction of the real ones. The last operator concatenates boxes in pixels and scores of 0 to 1, which is what ruins
INT8 outputs of such nets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Detector"]

BINS = 16
STRIDES = (8, 16, 32)


class ConvBlock(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(outputs, eps=1e-3), nn.SiLU(inplace=True))


class Bottleneck(nn.Module):
    def __init__(self, channels: int, residual: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(channels, channels, 3), ConvBlock(channels, channels, 3))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class C2f(nn.Module):
    def __init__(self, inputs: int, outputs: int, depth: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.half = outputs // 2
        self.first = ConvBlock(inputs, outputs)
        self.last = ConvBlock((2 + depth) * self.half, outputs)
        self.steps = nn.ModuleList(Bottleneck(self.half, residual) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for step in self.steps:
            parts.append(step(parts[-1]))
        return self.last(torch.cat(parts, 1))


class SPPF(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = ConvBlock(channels, channels // 2), ConvBlock(channels * 2, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Head(nn.Module):
    """Per anchor: 4 sides as distributions over 16 distances, and a score per class."""

    def __init__(self, classes: int, widths: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.classes = classes
        self.boxes = nn.ModuleList(nn.Sequential(ConvBlock(width, 32, 3), ConvBlock(32, 32, 3), nn.Conv2d(32, 4 * BINS, 1))
                                   for width in widths)
        self.scores = nn.ModuleList(nn.Sequential(ConvBlock(width, 32, 3), ConvBlock(32, 32, 3), nn.Conv2d(32, classes, 1))
                                    for width in widths)
        self.expectation = nn.Conv2d(BINS, 1, 1, bias=False)
        self.expectation.weight.data = torch.arange(BINS, dtype=torch.float32).view(1, BINS, 1, 1)
        self.expectation.requires_grad_(False)
        centres, strides = [], []
        for stride in STRIDES:
            side = torch.arange(size // stride, dtype=torch.float32) + 0.5
            y, x = torch.meshgrid(side, side, indexing="ij")
            centres.append(torch.stack([x.flatten(), y.flatten()]))
            strides.append(torch.full((1, side.numel() ** 2), float(stride)))
        self.register_buffer("centres", torch.cat(centres, 1)[None])
        self.register_buffer("strides", torch.cat(strides, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        levels = [torch.cat([box(x), score(x)], 1) for box, score, x in zip(self.boxes, self.scores, features, strict=True)]
        joined = torch.cat([level.view(1, 4 * BINS + self.classes, -1) for level in levels], 2)
        distances, scores = joined.split((4 * BINS, self.classes), 1)
        distances = distances.view(1, 4, BINS, -1).transpose(2, 1).softmax(1)
        sides = self.expectation(distances).view(1, 4, -1)
        near, far = sides.chunk(2, 1)
        start, end = self.centres - near, self.centres + far
        boxes = torch.cat([(start + end) / 2, end - start], 1) * self.strides
        return torch.cat([boxes, scores.sigmoid()], 1)


class Detector(nn.Module):
    """(1, 3, size, size) -> (1, 4 + classes, anchors): centre x, y, width, height in pixels; scores."""

    def __init__(self, classes: int = 20, size: int = 128) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBlock(3, 8, 3, 2), ConvBlock(8, 16, 3, 2), C2f(16, 16, 1, True))
        self.stage3 = nn.Sequential(ConvBlock(16, 32, 3, 2), C2f(32, 32, 2, True))
        self.stage4 = nn.Sequential(ConvBlock(32, 64, 3, 2), C2f(64, 64, 2, True))
        self.stage5 = nn.Sequential(ConvBlock(64, 128, 3, 2), C2f(128, 128, 1, True), SPPF(128))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.neck4, self.neck3 = C2f(192, 64), C2f(96, 32)
        self.down4, self.pan4 = ConvBlock(32, 32, 3, 2), C2f(96, 64)
        self.down5, self.pan5 = ConvBlock(64, 64, 3, 2), C2f(192, 128)
        self.head = Head(classes, (32, 64, 128), size)

    def forward(self, x: Tensor) -> Tensor:
        p3 = self.stage3(self.stem(x))
        p4 = self.stage4(p3)
        p5 = self.stage5(p4)
        n4 = self.neck4(torch.cat([self.up(p5), p4], 1))
        n3 = self.neck3(torch.cat([self.up(n4), p3], 1))
        m4 = self.pan4(torch.cat([self.down4(n3), n4], 1))
        m5 = self.pan5(torch.cat([self.down5(m4), p5], 1))
        return self.head([n3, m4, m5])
