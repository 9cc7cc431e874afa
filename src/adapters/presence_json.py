"""What a process tells of itself, as JSON. It begins with the version of its form."""

import msgspec

from domain.presence import ProcessReport

VERSION = 1


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
    """None for what is in a form not known here: another version's, cut short, or nobody's."""
    try:
        if _version_decoder.decode(data).version != VERSION:
            return None
        return _decoder.decode(data).report
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def in_order(reports: list[ProcessReport]) -> list[ProcessReport]:
    return sorted(reports, key=lambda report: (report.group, report.started_at, report.process))
