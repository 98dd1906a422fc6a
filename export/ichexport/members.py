"""Member options -> torch module with the wire's inputs and outputs.

A strong member is a U-Net of `segmentation_models_pytorch` that ends at half resolution; its
slice logit is pooled from its mask logits, so that drawn masks alone train both. A weak member
is the plain classifier on the same encoder: it learns from labels of slices and has no mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from ichcore.errors import ContractError
from ichcore.grid import Grid
from ichexport.preprocess import HUChannels, channel_count

ENCODERS = ("densenet121", "inceptionresnetv2", "mobilenet_v2", "vgg19")
"""The paper's four backbones."""

ANNOTATIONS = ("strong", "weak")
"""What a member learns from: masks, or labels of slices."""

POOLED_PIXELS = 16
"""Mask pixels (4 mm2 each on the default grid) whose mean logit is the slice logit."""

LESION, BRAIN = 0, 1
"""Channels of a strong member's head: blood, and the inside of the skull."""

DROPOUT = 0.2
"""Share of the pooled features that a weak member does without in training."""

_STRONG = {
    "densenet121": (5, (256, 128, 64, 32)),
    "inceptionresnetv2": (5, (256, 128, 64, 32)),
    # Stage 5 of the light one is two thirds of its weights and adds little at 256 pixels.
    "mobilenet_v2": (4, (32, 24, 16)),
    "vgg19": (5, (256, 128, 64, 32)),
}
_WEAK_DEPTH = 5


@dataclass(frozen=True)
class MemberOptions:
    """What makes a member's network, apart from its weights.

    `with_brain` puts BRAIN among the outputs of a strong member; a weak one has no decoder.
    """

    encoder: str = "mobilenet_v2"
    encoder_depth: int = 4
    decoder_channels: tuple[int, ...] = (32, 24, 16)
    with_brain: bool = False
    grid: Grid = field(default_factory=Grid)
    annotation: str = "strong"

    def __post_init__(self) -> None:
        """Refuse a network that does not end at the mask raster, or a mask that nobody taught."""
        if self.encoder not in ENCODERS:
            raise ContractError(
                f"Unknown encoder '{self.encoder}'; choose one of {', '.join(ENCODERS)}."
            )
        if self.annotation not in ANNOTATIONS:
            raise ContractError(
                f"Unknown annotation '{self.annotation}'; choose one of {', '.join(ANNOTATIONS)}."
            )
        if self.annotation == "weak":
            if self.decoder_channels or self.with_brain:
                raise ContractError("A weak member has neither a decoder nor BRAIN; leave both.")
        elif len(self.decoder_channels) != self.encoder_depth - 1:
            raise ContractError(
                f"{len(self.decoder_channels)} decoder blocks on an encoder of depth "
                f"{self.encoder_depth} do not end at half resolution; give one block fewer "
                "than the depth."
            )


def options_from_encoder(
    encoder: str, *, annotation: str = "strong", with_brain: bool = False, grid: Grid | None = None
) -> MemberOptions:
    """The options that suit an encoder; raises `ContractError` where it is none of the four."""
    depth, channels = _STRONG.get(encoder, (_WEAK_DEPTH, ()))
    if annotation == "weak":
        depth, channels = _WEAK_DEPTH, ()
    return MemberOptions(encoder, depth, channels, with_brain, grid or Grid(), annotation)


class Member(nn.Module):
    """HU [N, S, R, C] -> LOGIT [N, 1] and, from a strong member, MASK [N, R/2, C/2] and BRAIN."""

    def __init__(self, options: MemberOptions) -> None:
        from segmentation_models_pytorch.encoders import get_encoder

        super().__init__()
        self.options = options
        self.channels = HUChannels()
        in_channels = channel_count(options.grid.slices_per_item)
        self.encoder = get_encoder(
            options.encoder, in_channels=in_channels, depth=options.encoder_depth, weights=None
        )
        _without_unused(self.encoder, in_channels)
        if options.annotation == "weak":
            self.dropout = nn.Dropout(DROPOUT)
            self.classifier = nn.Linear(self.encoder.out_channels[-1], 1)
        else:
            self._add_decoder(options.decoder_channels)

    def _add_decoder(self, decoder_channels: tuple[int, ...]) -> None:
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        self.decoder = UnetDecoder(
            encoder_channels=self.encoder.out_channels,
            decoder_channels=decoder_channels,
            n_blocks=len(decoder_channels),
        )
        # Both channels always, so that every strong member learns where blood can be.
        self.head = nn.Conv2d(decoder_channels[-1], 2, kernel_size=1)
        with torch.no_grad():  # Lesions are rare, about 1 pixel in 100; a third is brain.
            self.head.bias.copy_(torch.tensor([-4.0, -1.0]))  # type: ignore[union-attr]

    def logits(self, hu: Tensor) -> tuple[Tensor, Tensor]:
        """HU -> slice logit [N, 1] and head logits [N, 2, R/2, C/2]; what training sees.

        The head's channels are `LESION` and `BRAIN`; a weak member gives [N, 0, 1, 1] for it.
        """
        if self.options.annotation == "weak":
            return self._classified(hu), hu.new_zeros((len(hu), 0, 1, 1))
        head: Tensor = self.head(self.decoder(self.encoder(self.channels(hu))))
        # A soft AND: nothing outside the skull may raise the score of a slice.
        inside = head[:, LESION] + F.logsigmoid(head[:, BRAIN])
        pooled = torch.topk(inside.flatten(1), POOLED_PIXELS, dim=1).values
        return pooled.mean(dim=1, keepdim=True), head

    def _classified(self, hu: Tensor) -> Tensor:
        features: Tensor = self.encoder(self.channels(hu))[-1]
        logit: Tensor = self.classifier(self.dropout(features.mean(dim=(2, 3))))
        return logit

    def forward(self, hu: Tensor) -> tuple[Tensor, ...]:
        """HU -> the tensors of the wire contract, as `output_names` names them."""
        if self.options.annotation == "weak":
            return (self._classified(hu).float(),)
        logit, head = self.logits(hu)
        channels = (LESION, BRAIN) if self.options.with_brain else (LESION,)
        return (logit.float(), *(torch.sigmoid(head[:, c]).half() for c in channels))


def output_names(options: MemberOptions) -> tuple[str, ...]:
    """Names of `Member.forward`'s outputs, in order."""
    if options.annotation == "weak":
        return ("LOGIT",)
    return ("LOGIT", "MASK", "BRAIN") if options.with_brain else ("LOGIT", "MASK")


def _without_unused(encoder: nn.Module, in_channels: int) -> None:
    """Take out the layers past the depth; smp runs some of them and throws the result away."""
    parameters = dict(encoder.named_parameters())
    was_training = encoder.training
    features = encoder.eval()(torch.zeros((1, in_channels, 64, 64)))
    total = torch.stack([feature.mean() for feature in features]).sum()
    gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    encoder.train(was_training)
    used = {
        name.rpartition(".")[0]
        for name, gradient in zip(parameters, gradients, strict=True)
        if gradient is not None
    }
    for layer in {name.rpartition(".")[0] for name in parameters} - used:
        encoder.set_submodule(layer, nn.Identity())
