"""The nets of the conformance test: how each is made, with seeded random weights, and exported to ONNX by torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision.models as zoo
from torch import Tensor, nn

from tests.conformance.yolo import Detector

__all__ = ["NETS", "Net", "export", "make", "window_net"]


@dataclass(frozen=True)
class Net:
    """How to make a net, and the shape of its input."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


class Mask(nn.Module):
    """A segmentation net of torchvision without its dict."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)["out"]


class BackboneAndHead(nn.Module):
    """A detector of torchvision without what comes before (resizing) and after (anchors, NMS)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = net.backbone, net.head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.head(list(self.backbone(x).values()))
        return found["bbox_regression"], found["cls_logits"]


def window_net() -> nn.Module:
    """A 1-D classifier of six channels of an accelerometer: grouped, dilated and strided convolutions."""
    def block(inputs: int, outputs: int, **options: int) -> list[nn.Module]:
        return [nn.Conv1d(inputs, outputs, 5, bias=False, **options), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*block(6, 24, padding=2), nn.MaxPool1d(2), *block(24, 24, padding=2, groups=24), nn.Conv1d(24, 32, 1),
                         nn.ReLU6(), *block(32, 32, padding=4, dilation=2, groups=4), nn.AvgPool1d(2),
                         *block(32, 48, padding=1, stride=2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(48, 6))


class Encoder(nn.Module):
    """A transformer encoder over a window of 24 samples: embedding, learnt positions, two layers, mean, classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.classify = nn.Linear(9, 48), nn.Linear(48, 5)
        self.positions = nn.Parameter(torch.randn(1, 24, 48) * 0.3)
        layer = nn.TransformerEncoderLayer(48, 4, 96, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(48), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.layers(self.embed(x) + self.positions).mean(1))


def _ssdlite() -> nn.Module:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large
    return BackboneAndHead(ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21))


NETS: dict[str, Net] = {
    "mobilenet_v2": Net(zoo.mobilenet_v2, (1, 3, 96, 96)),
    "mobilenet_v3_small": Net(zoo.mobilenet_v3_small, (1, 3, 96, 96)),
    "efficientnet_b0": Net(zoo.efficientnet_b0, (1, 3, 96, 96)),
    "resnet18": Net(zoo.resnet18, (1, 3, 96, 96)),
    "squeezenet1_1": Net(zoo.squeezenet1_1, (1, 3, 96, 96)),
    "shufflenet_v2_x0_5": Net(zoo.shufflenet_v2_x0_5, (1, 3, 96, 96)),
    "mnasnet0_5": Net(zoo.mnasnet0_5, (1, 3, 96, 96)),
    "regnet_y_400mf": Net(zoo.regnet_y_400mf, (1, 3, 96, 96)),
    "densenet121": Net(zoo.densenet121, (1, 3, 64, 64)),
    "convnext_tiny": Net(zoo.convnext_tiny, (1, 3, 64, 64)),
    "lraspp_mobilenet_v3_large": Net(
        lambda: Mask(zoo.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)), (1, 3, 96, 96)),
    "ssdlite320": Net(_ssdlite, (1, 3, 320, 320)),
    "yolov8_shaped": Net(lambda: Detector(size=128), (1, 3, 128, 128)),
    "window_cnn": Net(window_net, (1, 6, 128)),
    "transformer": Net(Encoder, (1, 24, 9)),
}


def make(name: str) -> nn.Module:
    """The net in eval mode, its weights and batch statistics random but such that activations neither vanish nor explode."""
    torch.manual_seed(sum(map(ord, name)))
    net = NETS[name].make().eval()
    gain = "relu" if name == "squeezenet1_1" else "linear"  # without batch norms nothing else keeps activations alive
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for module in net.modules():
            if hasattr(module, "layer_scale"):  # ConvNeXt starts at 1e-6, where its blocks do nothing
                module.layer_scale.uniform_(0.1, 0.5)
            if isinstance(module, (nn.Conv2d, nn.Conv1d, nn.Linear)) and module.weight.requires_grad:
                nn.init.kaiming_normal_(module.weight, nonlinearity=gain)
        for norm in norms:
            norm.weight.uniform_(0.6, 1.4)
            norm.bias.normal_(0, 0.3)
            norm.momentum = None  # the mean over batches, not a moving one
            norm.train()
        if norms:
            net(torch.randn(8, *NETS[name].shape[1:]) if name != "yolov8_shaped" else torch.randn(NETS[name].shape))
        for norm in norms:
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.7, 1.4))
            norm.running_mean.add_(torch.randn_like(norm.running_mean) * 0.1 * norm.running_var.sqrt())
    return net.eval()


def export(name: str, folder: Path) -> Path:
    """folder/name.onnx, as torch.onnx.export writes it; one that is there already is kept."""
    file = folder / f"{name}.onnx"
    if not file.exists():
        net = make(name)
        with warnings.catch_warnings():  # the exporter speaks of its own future
            warnings.simplefilter("ignore")
            program = torch.onnx.export(net, (torch.zeros(NETS[name].shape),), dynamo=True, verbose=False)
        scratch = file.with_suffix(".partial")
        program.save(str(scratch), external_data=False)
        scratch.rename(file)
    return file
