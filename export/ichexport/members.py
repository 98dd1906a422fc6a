"""Member options -> torch module with the wire's inputs and outputs.

A member is a U-Net of `segmentation_models_pytorch` that ends at half resolution. Its slice
logit is pooled from the mask logits, so that strong annotation alone trains both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ichcore.errors import ContractError
from ichcore.grid import Grid
from ichexport.preprocess import HUChannels, channel_count

ENCODERS = ("densenet121", "inceptionresnetv2", "mobilenet_v2", "vgg19")
"""The paper's four backbones."""

POOLED_PIXELS = 16
"""Mask pixels (4 mm2 each on the default grid) whose mean logit is the slice logit."""


@dataclass(frozen=True)
class MemberOptions:
    """What makes a member's network, apart from its weights."""

    encoder: str = "mobilenet_v2"
    encoder_depth: int = 4
    decoder_channels: tuple[int, ...] = (64, 48, 32)
    with_brain: bool = False
    grid: Grid = field(default_factory=Grid)

    def __post_init__(self) -> None:
        """Refuse a network that does not end at the mask raster."""
        if self.encoder not in ENCODERS:
            raise ContractError(
                f"Unknown encoder '{self.encoder}'; choose one of {', '.join(ENCODERS)}."
            )
        if len(self.decoder_channels) != self.encoder_depth - 1:
            raise ContractError(
                f"{len(self.decoder_channels)} decoder blocks on an encoder of depth "
                f"{self.encoder_depth} do not end at half resolution; give one block fewer "
                "than the depth."
            )


class Member(nn.Module):
    """HU [N, S, R, C] -> LOGIT [N, 1], MASK [N, R/2, C/2] and, with a brain head, BRAIN."""

    def __init__(self, options: MemberOptions) -> None:
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
        from segmentation_models_pytorch.encoders import get_encoder

        super().__init__()
        self.options = options
        self.channels = HUChannels()
        self.encoder = get_encoder(
            options.encoder,
            in_channels=channel_count(options.grid.slices_per_item),
            depth=options.encoder_depth,
            weights=None,
        )
        self.decoder = UnetDecoder(
            encoder_channels=self.encoder.out_channels,
            decoder_channels=options.decoder_channels,
            n_blocks=len(options.decoder_channels),
        )
        heads = 2 if options.with_brain else 1
        self.head = nn.Conv2d(options.decoder_channels[-1], heads, kernel_size=1)
        # Lesions are rare: start from the share of pixels that are lesion, about 1 in 100.
        nn.init.constant_(self.head.bias, -4.0)  # type: ignore[arg-type]

    def logits(self, hu: Tensor) -> tuple[Tensor, Tensor]:
        """HU -> slice logit [N, 1] and head logits [N, heads, R/2, C/2]; what training sees."""
        head: Tensor = self.head(self.decoder(self.encoder(self.channels(hu))))
        pooled = torch.topk(head[:, 0].flatten(1), POOLED_PIXELS, dim=1).values
        return pooled.mean(dim=1, keepdim=True), head

    def forward(self, hu: Tensor) -> tuple[Tensor, ...]:
        """HU -> the tensors of the wire contract."""
        logit, head = self.logits(hu)
        probability = torch.sigmoid(head).half()
        return (logit.float(), *(probability[:, index] for index in range(head.shape[1])))


def output_names(options: MemberOptions) -> tuple[str, ...]:
    """Names of `Member.forward`'s outputs, in order."""
    return ("LOGIT", "MASK", "BRAIN") if options.with_brain else ("LOGIT", "MASK")
