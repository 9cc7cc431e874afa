"""Ends the process without anything that still could be sent or written."""

import logging
import os
from typing import NoReturn

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: started anew, it works

logger = logging.getLogger("herald.process")


def end_at_once(reason: str) -> NoReturn:
    """No clean-up: a drain or a commit would speak for shards that may be another process's by now."""
    logger.critical("The process ends at once: %s", reason, extra={"action": "process_ended"})
    logging.shutdown()
    os._exit(EXIT_CODE)
