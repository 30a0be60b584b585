FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-dev.lock ./
# The build's own needs are in the development lock; they stay behind in this stage.
RUN python -m venv /build \
 && /build/bin/pip install --require-hashes -r requirements-dev.lock \
 && python -m venv --without-pip /opt/raft-exporter \
 && /build/bin/pip --python /opt/raft-exporter/bin/python install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY raft_exporter raft_exporter
COPY rules/*.yml rules/
COPY deploy/alertmanager deploy/alertmanager
COPY grafana/dashboards grafana/dashboards
COPY grafana/provisioning grafana/provisioning
RUN /build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
 && /build/bin/pip --python /opt/raft-exporter/bin/python install --no-deps --no-index /dist/*.whl

FROM python:3.13-slim

LABEL org.opencontainers.image.title="raft-exporter" \
      org.opencontainers.image.description="Prometheus sidecar for HashiCorp Raft: who is really down, seen by whom, and how near the quorum is to being lost" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/raft-exporter/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/raft-exporter /opt/raft-exporter
# Where the observer's socket is made, when no volume is mounted there.
RUN install -d -o 65532 -g 65532 /run/raft-exporter
USER 65532:65532
EXPOSE 9641
ENTRYPOINT ["raft-exporter"]
CMD ["run"]
