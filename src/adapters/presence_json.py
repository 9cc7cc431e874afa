"""What a process tells of itself, as JSON. It begins with the version of its form."""

import msgspec

from domain.presence import ProcessReport

VERSION = 1
_LAST_MOMENT = 253_402_300_799.0  # of the year 9999: what is later cannot be written as a time
_HIGHEST_COUNT = 2**53  # beyond it a browser does not count right


class _Written(msgspec.Struct):
    version: int
    report: ProcessReport


class _Versioned(msgspec.Struct):
    version: int


_decoder = msgspec.json.Decoder(_Written)
_version_decoder = msgspec.json.Decoder(_Versioned)


def encode_report(report: ProcessReport) -> bytes:
    return msgspec.json.encode(_Written(VERSION, report))


def decode_report(data: bytes) -> ProcessReport | None:
    """None for another version's form, for what is cut short or nobody's, and for what cannot be true."""
    try:
        if _version_decoder.decode(data).version != VERSION:
            return None
        report = _decoder.decode(data).report
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return report if _is_sound(report) else None


def _is_sound(report: ProcessReport) -> bool:
    """Whoever may write where reports lie could otherwise keep everybody from seeing the others."""
    times = (report.at, report.started_at, report.channel.since)
    counts = (report.pid, report.in_flight, *(work.partitions for work in report.topics))
    outcomes = (count for work in report.topics for count in work.outcomes.values())
    return all(0 <= time <= _LAST_MOMENT for time in times) and all(
        0 <= count <= _HIGHEST_COUNT for count in (*counts, *outcomes)
    )


def in_order(reports: list[ProcessReport]) -> list[ProcessReport]:
    return sorted(reports, key=lambda report: (report.group, report.started_at, report.process))
