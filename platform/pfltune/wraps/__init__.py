"""Stages of the channel: what becomes of a payload on its way, whatever method sends it.

``fedavg+topk`` is FedAvg whose uploads pass :class:`TopK`, see :mod:`pfltune.wrapped`. Beside those
here, wraps are found in other installed packages and in files.
"""

from pfltune.plugins import Seam, at_hand
from pfltune.wraps.base import Wrap, check_wrap
from pfltune.wraps.float16 import Float16
from pfltune.wraps.topk import TopK

WRAPS = Seam("wrap", "pfltune.wraps", Wrap, at_hand({"float16": Float16, "topk": TopK}), check_wrap)
