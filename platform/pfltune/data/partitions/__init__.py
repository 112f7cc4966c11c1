"""Dealing the samples of a data set to clients; a kind is a class with its settings."""

from typing import Annotated, get_args

from pydantic import Field

from pfltune.data.partitions.base import Partition
from pfltune.data.partitions.domains import DomainDirichlet, Domains
from pfltune.data.partitions.even import IID, Quantity
from pfltune.data.partitions.fedperfix import FedPerfixDirichlet
from pfltune.data.partitions.labels import Classes, Dirichlet, Shards

AnyPartition = Annotated[
    IID | Quantity | Dirichlet | FedPerfixDirichlet | Classes | Shards | Domains | DomainDirichlet,
    Field(discriminator="kind"),
]

PARTITIONS: dict[str, type[Partition]] = {
    get_args(cls.model_fields["kind"].annotation)[0]: cls
    for cls in get_args(get_args(AnyPartition)[0])
}
