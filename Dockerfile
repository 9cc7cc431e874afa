# Herald as an image: `docker build -t herald .`
#
# The base is pinned by its tag. To pin the bytes too, ask for the digest once and put it behind both FROM lines'
# tag, as python:3.11.14-slim-bookworm@sha256:...:
#   docker buildx imagetools inspect python:3.11.14-slim-bookworm --format '{{.Manifest.Digest}}'
# Everything else comes from requirements.txt, where each file has its hash.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/herald
# The libraries first: they change seldom, and this layer is kept as long as they do not.
COPY requirements.txt ./
RUN /opt/herald/bin/pip install --no-deps --require-hashes -r requirements.txt
COPY pyproject.toml LICENSE containers.py ./
COPY src ./src
# Built by the hatchling that was locked with the rest: nothing is fetched here.
RUN /opt/herald/bin/pip install --no-deps --no-build-isolation .
# Who runs it never installs anything.
RUN /opt/herald/bin/pip uninstall --quiet --yes pip setuptools

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="Herald" \
      org.opencontainers.image.description="Takes messages over REST, keeps them in a durable log, delivers each by email and by SMS" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/herald /opt/herald
# Where the embedded log is kept when the log is SQLite: data/herald.db below it. Put a volume there.
RUN mkdir -p /var/lib/herald/data && chown -R 10001:10001 /var/lib/herald
# Lines go to stderr, for the engine to keep. The root file system may be read-only if /tmp can be written (on Kafka
# the API keeps its view of what became of messages there, 100 MB at most).
# [api] host is left at the loopback on purpose: who opens it says in the same breath who may call,
# with HERALD_API__HOST=0.0.0.0 and HERALD_API__KEYS_FILE=... or HERALD_API__ANONYMOUS=true.
ENV PATH=/opt/herald/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HERALD_LOGGING__FILE= \
    HERALD_CONSUMER__HOST=0.0.0.0 \
    HERALD_CONSUMER__PORT=9100
WORKDIR /var/lib/herald
# What a platform mounts there gets /tmp's rights from here: without this line an empty volume on AWS Fargate is
# root's alone. A tmpfs (Compose) or an emptyDir (Kubernetes) takes its place.
VOLUME ["/tmp"]
# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
EXPOSE 8080 9100
# Whichever of Herald's processes runs here. It says nothing about others: an orchestrator that replaces unwell
# containers should ask with --live, for while Kafka is away none is ready.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["herald", "health"]
ENTRYPOINT ["herald"]
CMD ["--help"]
