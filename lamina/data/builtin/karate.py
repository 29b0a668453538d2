"""karate: 34 members of a karate club, who met whom, and which side each took when it split.

Source: Zachary, "An Information Flow Model for Conflict and Fission in Small Groups" (1977), by the package networkx
(BSD licence).
"""

import importlib.util

from lamina.core.errors import DataError
from lamina.data.sources import graph

__all__ = ["read"]

TARGET = "club"
FACTS = {
    "task": "classification",
    "size": "34 nodes, 78 edges",
    "module": "networkx",
    "install": "pip install networkx",
}


def read() -> graph.GraphTable:
    """Nodes with `club` and `friends`, how many a member met; edges without their weights."""
    if importlib.util.find_spec("networkx") is None:
        raise DataError("karate comes with the package networkx, which is not installed. Run: pip install networkx")
    import networkx

    club = networkx.karate_club_graph()
    networkx.set_node_attributes(club, dict(club.degree()), "friends")
    return graph.read(club)
