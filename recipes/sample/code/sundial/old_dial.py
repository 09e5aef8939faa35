"""A sundial: the hour of the day from the angle of a shadow."""

import math

DEGREES_AN_HOUR = 15


def hour(angle: float, noon: float = 0.0) -> float:
    """The hour at which the shadow has this angle; at noon it has the angle `noon`."""
    return 12 + (angle - noon) / DEGREES_AN_HOUR


def shadow(height: float, altitude: float) -> float:
    """The length of the shadow of a rod of this height, the sun standing at this altitude in degrees."""
    if not 0 < altitude < 90:
        raise ValueError("no sun")
    return height / math.tan(math.radians(altitude))
