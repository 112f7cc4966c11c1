"""Dealing the samples of a data set to clients; a kind is a class with its settings."""

from typing import Annotated, get_args

from pfltune.data.partitions.base import Partition
from pfltune.data.partitions.domains import DomainDirichlet, Domains
from pfltune.data.partitions.even import IID, Quantity
from pfltune.data.partitions.fedperfix import FedPerfixDirichlet
from pfltune.data.partitions.file import FromFile
from pfltune.data.partitions.given import Natural
from pfltune.data.partitions.labels import Classes, Dirichlet, Shards
from pfltune.plugins import Seam, Section, at_hand, must_have_hooks

DRAWN = (IID, Quantity, Dirichlet, FedPerfixDirichlet, Classes, Shards, Domains, DomainDirichlet)
OWN = (*DRAWN, Natural, FromFile)
PARTITIONS: dict[str, type[Partition]] = {
    get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in OWN
}
SEAM = Seam("partition", "pfltune.partitions", Partition, at_hand(PARTITIONS), must_have_hooks)
AnyPartition = Annotated[Partition, Section(SEAM)]
