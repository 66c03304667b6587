"""The pages, one list for each noun."""

from __future__ import annotations

from registry.dashboard import (
    activity,
    adapter_lists,
    adapters,
    aliases,
    audit,
    base_models,
    bulk_moves,
    campaigns,
    clients,
    datasets,
    freezes,
    histories,
    holds,
    issuers,
    jobs,
    lineage,
    merged,
    overview,
    playground,
    saved_views,
    serving,
    sessions,
    settings,
    storage,
    tokens,
    undoing,
    users,
    webhooks,
)

urlpatterns = [
    url
    for noun in (
        overview,
        adapter_lists,
        adapters,
        aliases,
        merged,
        jobs,
        lineage,
        clients,
        bulk_moves,
        freezes,
        holds,
        histories,
        base_models,
        datasets,
        campaigns,
        playground,
        serving,
        sessions,
        settings,
        tokens,
        webhooks,
        issuers,
        users,
        storage,
        audit,
        saved_views,
        activity,
        undoing,
    )
    for url in noun.urlpatterns
]
