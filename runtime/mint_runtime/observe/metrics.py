"""Numbers for Prometheus, in a registry of this server's own.

What happens is counted when it happens; what is held is read when somebody asks. Every label has a
bounded number of values: routes come from the table of endpoints, operations from the code, and of
the models only the latest have a series.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_MODELS = 64
"""Models with a series of their own; the one that was silent longest makes room."""
# Long polls last tens of seconds, steps of large models minutes.
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_OTHER = "other"


class Metrics:
    """Counters of one server. Methods may be called from any thread."""

    def __init__(self, max_models: int = MAX_MODELS) -> None:
        self._registry = CollectorRegistry()
        self._max_models = max_models
        self._models: OrderedDict[str, None] = OrderedDict()
        self._requests = Counter(
            "mint_http_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "mint_http_request_seconds",
            "Seconds until the answer begins, by route.",
            ("route",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._open_requests = Gauge(
            "mint_http_requests_open",
            "Requests being answered now, by route; long polls are those of retrieve_future.",
            ("route",),
            registry=self._registry,
        )
        self._operations = Counter(
            "mint_operations",
            "Operations that ended well, by name.",
            ("operation",),
            registry=self._registry,
        )
        self._operation_seconds = Histogram(
            "mint_operation_seconds",
            "Seconds from arrival to result, by operation.",
            ("operation",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._wait_seconds = Histogram(
            "mint_operation_wait_seconds",
            "Seconds from arrival until the engine begins, by operation.",
            ("operation",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._loss = Gauge(
            "mint_model_loss",
            "Loss of the last optimizer step per trained token, by model.",
            ("model",),
            registry=self._registry,
        )

    @contextmanager
    def request(self, method: str, route: str) -> Iterator[list[int]]:
        """Count a request while it is answered; append its status to the list that is yielded."""
        began = perf_counter()
        status: list[int] = []
        with self._open_requests.labels(route).track_inprogress():
            try:
                yield status
            finally:
                shown = str(status[-1]) if status else "none"
                self._requests.labels(method, route, shown).inc()
                self._request_seconds.labels(route).observe(perf_counter() - began)

    def unknown_request(self, method: str, status: int) -> None:
        """Count a request to a path that is no endpoint."""
        known = method if method in {"GET", "POST", "PUT", "DELETE"} else _OTHER
        self._requests.labels(known, _OTHER, str(status)).inc()

    def open_requests(self, route: str) -> int:
        """Return how many requests to `route` are being answered."""
        for family in self._open_requests.collect():
            for sample in family.samples:
                if sample.labels.get("route") == route:
                    return int(sample.value)
        return 0

    def operation(self, name: str, seconds: float, wait: float | None) -> None:
        """Count an operation that ended well."""
        self._operations.labels(name).inc()
        self._operation_seconds.labels(name).observe(seconds)
        if wait is not None:
            self._wait_seconds.labels(name).observe(wait)

    def loss(self, model_id: str, value: float) -> None:
        """Set the loss of a model, and forget the model that was silent longest if need be."""
        self._models[model_id] = None
        self._models.move_to_end(model_id)
        self._loss.labels(model_id).set(value)
        while len(self._models) > self._max_models:
            oldest, _ = self._models.popitem(last=False)
            self._loss.remove(oldest)

    def render(self, counters: Mapping[str, float], gauges: Mapping[str, float]) -> bytes:
        """Return the text that Prometheus reads, format 0.0.4.

        Args:
            counters: further totals by name, without `mint_` and `_total`.
            gauges: further present values by name, without `mint_`.
        """
        shown = CollectorRegistry()
        shown.register(_All(self._registry, counters, gauges))
        return generate_latest(shown)


class _All:
    """Our own families, and values that somebody else counts."""

    def __init__(
        self,
        registry: CollectorRegistry,
        counters: Mapping[str, float],
        gauges: Mapping[str, float],
    ) -> None:
        self._registry = registry
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            # The time at which a series was made is a series of its own; nobody plots it.
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
            yield family
        for name, value in self._counters.items():
            yield CounterMetricFamily(f"mint_{name}", _sentence(name), value=value)
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(f"mint_{name}", _sentence(name), value=value)


def _sentence(name: str) -> str:
    return f"{name.replace('_', ' ').capitalize()}."
