"""The generator of the Grafana dashboards: ``make dashboards``. docs/dashboards.md says what they show."""

import warnings

# On its import the SDK warns of dashboards before schema version 2: the only ones that Grafana 9.4 reads.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.models.dashboardv2beta1  # noqa: F401
