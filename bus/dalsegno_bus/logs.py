"""Log lines: a constant event name and its fields. JSON for machines, text for people.

Configures the root logger, once, in a `__main__`; everywhere else `log` is all there is to call.
"""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, cast

import orjson

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

_LEVELS: Final[dict[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def setup_logging(log_format: str, level: str, service: str) -> None:
    """Send the log lines of this process to standard error.

    Args:
        log_format: `json`, `text`, or `auto`: text on a terminal.
        level: The least that is shown: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        service: Who is speaking; stands in each line.
    """
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter(service) if as_text else JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def log(logger: logging.Logger, level: Level, event: str, /, **fields: Any) -> None:
    """Log that `event` (a constant, dotted name) happened, with what tells it from others."""
    number = _LEVELS[level]
    if logger.isEnabledFor(number):
        logger.log(number, event, extra={"fields": fields}, stacklevel=2)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, service, logger, event, and the fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in _fields(record).items():
            line[f"{name}_" if name in line else name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """One readable line: time, level, service, event, and the fields as `name=value`.

    The same as `JsonFormatter` has, in the same order; what would steer a terminal is spelt out.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={_shown(value)}" for name, value in _fields(record).items())
        event = _printable(record.getMessage())
        line = f"{at} {record.levelname.lower():7} {self._service} {event}{fields}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = getattr(record, "fields", None)
    return cast("Mapping[str, Any]", fields) if isinstance(fields, Mapping) else {}


def _shown(value: object) -> str:
    text = str(value)
    is_plain = text.isprintable() and not any(sign in text for sign in ' "=')
    return text if text and is_plain else repr(text)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
