# Two stages: what builds stays behind in the first. Another base, or this one by its digest: docs/deploy.md.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /build \
 && /build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock \
 && python3 -m venv --without-pip /opt/raft-exporter \
 && /build/bin/pip --python /opt/raft-exporter/bin/python install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY raft_exporter raft_exporter
COPY rules/*.yml rules/
COPY deploy/alertmanager deploy/alertmanager
COPY deploy/examples/openbao/policy.hcl deploy/examples/openbao/
COPY grafana/dashboards grafana/dashboards
COPY grafana/provisioning grafana/provisioning
RUN /build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
 && /build/bin/pip --python /opt/raft-exporter/bin/python install --no-deps --no-index /dist/*.whl

FROM ${BASE}

LABEL org.opencontainers.image.title="raft-exporter" \
      org.opencontainers.image.description="Prometheus sidecar for HashiCorp Raft: who is really down, seen by whom, and how near the quorum is to being lost" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/raft-exporter/raft-exporter" \
      org.opencontainers.image.documentation="https://github.com/raft-exporter/raft-exporter/blob/main/docs/deploy.md"
ENV PATH=/opt/raft-exporter/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /opt/raft-exporter /opt/raft-exporter
# The base brings pip, and programs that run as their owner. A new volume takes owner and mode from the directory here, a
# tmpfs the mode alone: the observer's socket is in /run, the store in /var/lib. The base leaves its library uncompiled,
# and who can't write would compile it at every start: what is loaded here stays compiled.
RUN find / -xdev \( -name pip -o -name 'pip[0-9-]*' -o -name ensurepip \) -prune -exec rm -rf {} + \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && install -d -o 65532 -g 65532 -m 1777 /run/raft-exporter \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/raft-exporter \
 && raft-exporter run --help >/dev/null \
 && raft-exporter healthcheck --help >/dev/null
ENV PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 9641
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["raft-exporter", "healthcheck"]
ENTRYPOINT ["raft-exporter"]
CMD ["run"]
