"""A collector in a process of its own: takes spans over OTLP/gRPC and says what it got.

First it says `{"port": …}`, then one line of JSON for each span. Ends when its input is closed.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_SAYING = threading.Lock()


def say(line: dict[str, Any]) -> None:
    with _SAYING:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class Collector(services.TraceServiceServicer):
    """The service that a real collector offers."""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        for resource in request.resource_spans:
            service = attributes_of(resource.resource)["service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    say({"service": service, "scope": scope.scope.name, **described(span)})
        return messages.ExportTraceServiceResponse()


def described(span: Span) -> dict[str, Any]:
    """A span as JSON, its ids in hexadecimal digits."""
    return {
        "name": span.name,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex() or None,
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "kind": Span.SpanKind.Name(span.kind),
        "status": Status.StatusCode.Name(span.status.code),
        "message": span.status.message,
        "attributes": attributes_of(span),
        "events": [
            {"name": event.name, "at_ns": event.time_unix_nano, "attributes": attributes_of(event)}
            for event in span.events
        ],
        "links": [
            {
                "trace": link.trace_id.hex(),
                "id": link.span_id.hex(),
                "attributes": attributes_of(link),
            }
            for link in span.links
        ],
    }


def attributes_of(holder: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes
    }


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(4))
    services.add_TraceServiceServicer_to_server(Collector(), server)  # pyright: ignore[reportUnknownMemberType] - generated code without types
    say({"port": server.add_insecure_port("127.0.0.1:0")})
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
