"""Both logs for the tests that run whole processes."""

from tests.site_fixtures import any_site, kafka_site, log_settings, sqlite_site

__all__ = ["any_site", "kafka_site", "log_settings", "sqlite_site"]
