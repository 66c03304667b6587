"""Fills MLflow's database in bulk unless it was.

Run by the Python that has MLflow: `registry_peer_seed.py URI MODELS`.

What `benchmarks.registry_seed` puts into ours, as far as MLflow has words for it: registered models with five
versions, the aliases `production` and `candidate` on the newest, and tags.
"""

from __future__ import annotations

import sys

import sqlalchemy  # type: ignore[import-not-found,unused-ignore]
from mlflow.store.db.utils import _initialize_tables  # type: ignore[import-not-found,unused-ignore]
from mlflow.store.model_registry.dbmodels import models  # type: ignore[import-not-found,unused-ignore]
from sqlalchemy.orm import Session  # type: ignore[import-not-found,unused-ignore]

VERSIONS = 5
VERTICALS = ("healthcare", "finance", "legal", "manufacturing", "retail")
HITS = 20


def main(uri: str, count: int) -> None:
    engine = sqlalchemy.create_engine(uri)
    _initialize_tables(engine)
    names = [f"a{at:06}" for at in range(count)]
    hit = {at * max(1, count // HITS) for at in range(HITS)}
    with Session(engine) as session:
        if session.query(models.SqlRegisteredModel).first() is not None:
            return  # of an earlier run: it was committed whole
        session.add_all(models.SqlRegisteredModel(name=name, description=f"Adapter {name}") for name in names)
        session.flush()
        for at, name in enumerate(names):
            tags = {"vertical": VERTICALS[at % 5], "tier": f"t{at % 10}", **({"hit": "yes"} if at in hit else {})}
            session.add_all(
                models.SqlRegisteredModelTag(name=name, key=key, value=value) for key, value in tags.items()
            )
            session.add_all(
                models.SqlModelVersion(name=name, version=number, source=f"s3://bench/{name}/{number}")
                for number in range(1, VERSIONS + 1)
            )
            session.add_all(
                models.SqlRegisteredModelAlias(name=name, alias=alias, version=VERSIONS)
                for alias in ("production", "candidate")
            )
        session.commit()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
