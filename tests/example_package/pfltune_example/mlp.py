"""A model that is no transformer."""

from pydantic import Field
from torch import Tensor, nn

from pfltune import Backbone


class MLP(Backbone):
    """One hidden layer."""

    hidden: int = Field(32, ge=1, description="units of the hidden layer")

    def create(self, classes: int, channels: int) -> nn.Module:
        """The model with random weights."""
        return _Net(channels * self.image_size**2, self.hidden, classes)


class _Net(nn.Module):
    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def get_classifier(self) -> nn.Module:
        return self.head
