"""Prints how many histories it took to find each saboteur."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = [
        (report.nodeid.rpartition("[")[2].rstrip("]"), dict(report.user_properties))
        for report in terminalreporter.getreports("passed")
        if "histories" in dict(report.user_properties)
    ]
    if found:
        terminalreporter.section("saboteurs: how many histories found each, by the promise it breaks")
    for name, properties in sorted(found):
        terminalreporter.write_line(f"{name:26} {properties['histories']:>5}  {properties['promise']}")
