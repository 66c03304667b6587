"""The pages, one list for each noun."""

from __future__ import annotations

from registry.dashboard import (
    adapters,
    aliases,
    audit,
    base_models,
    bulk_moves,
    campaigns,
    clients,
    datasets,
    freezes,
    issuers,
    jobs,
    lineage,
    overview,
    serving,
    sessions,
    settings,
    tokens,
    users,
    webhooks,
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
        bulk_moves,
        freezes,
        base_models,
        datasets,
        campaigns,
        serving,
        sessions,
        settings,
        tokens,
        webhooks,
        issuers,
        users,
        audit,
    )
    for url in noun.urlpatterns
]
