"""The pages, one list for each noun."""

from __future__ import annotations

from registry.dashboard import (
    adapters,
    aliases,
    audit,
    base_models,
    campaigns,
    clients,
    datasets,
    jobs,
    lineage,
    overview,
    serving,
)

urlpatterns = [
    url
    for noun in (
        overview,
        adapters,
        aliases,
        jobs,
        lineage,
        clients,
        base_models,
        datasets,
        campaigns,
        serving,
        audit,
    )
    for url in noun.urlpatterns
]
