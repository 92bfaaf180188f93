"""Attribution: what the names in an event resolve to, once for all events that carry the same names."""

import dataclasses
from dataclasses import dataclass
from uuid import UUID

from tallystick.domain.meters import Meter
from tallystick.domain.rollups import Dimensions, HourDimensions, bucket_of


@dataclass(eq=False, slots=True)
class Attribution:
    """Where charges of one combination of names go: dimensions, rollup buckets and what decides their price.

    `waived` says that the connector is the workspace's own key, so nothing is charged (`useCredits: false`).
    Compared by identity, so that sums per attribution cost one cheap look-up for each event.
    """

    workspace_id: UUID
    meter: Meter
    dimensions: Dimensions
    waived: bool = False
    provider: str | None = None
    action: str | None = None
    canonical: tuple[str, str] | None = None
    bucket: UUID = dataclasses.field(init=False)
    hour_dimensions: HourDimensions = dataclasses.field(init=False)
    hour_bucket: UUID = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        d = self.dimensions
        self.bucket = bucket_of(d)
        self.hour_dimensions = HourDimensions(d.category, d.slug, d.workflow_id, d.agent_id)
        self.hour_bucket = bucket_of(self.hour_dimensions)
