# The sidecar's image (the last stage, so the default) and the demo app's (`--target demo`). Both run as a numeric user
# without rights on a read-only root file system; the sidecar writes to the volume /data and nowhere else.

# The tag names Python's minor version and Debian's release; rebuilding takes their security fixes. All else is locked.
FROM python:3.13-slim-trixie AS python
ENV PATH=/opt/chronoprof/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM

FROM python AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# For the loops over buckets, which are compiled (pyproject.toml).
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc=4:14.* libc6-dev=2.41-* \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/compile.txt requirements/server.txt requirements/demo.txt requirements/
RUN pip install --only-binary :all: --require-hashes --no-deps -r requirements/compile.txt \
 && python -m venv --without-pip /opt/chronoprof
COPY pyproject.toml README.md LICENSE ./
COPY chronoprof_sidecar chronoprof_sidecar
RUN HATCH_BUILD_HOOKS_ENABLE=true pip wheel --no-build-isolation --no-deps --wheel-dir dist .

# Wheels only: nothing of others is compiled here, and no release runs a setup script.
FROM build AS build-sidecar
RUN pip --python /opt/chronoprof/bin/python install --only-binary :all: --require-hashes --no-deps \
        -r requirements/server.txt \
 && pip --python /opt/chronoprof/bin/python install --no-deps dist/*.whl

FROM build AS build-demo
RUN pip --python /opt/chronoprof/bin/python install --only-binary :all: --require-hashes --no-deps \
        -r requirements/demo.txt \
 && pip --python /opt/chronoprof/bin/python install --no-deps dist/*.whl

FROM python AS demo
COPY --from=build-demo /opt/chronoprof /opt/chronoprof
USER 10001:10001
EXPOSE 8080
# gunicorn writes its workers' heartbeats to /tmp, a tmpfs in docker-compose.yml, and nothing else anywhere.
ENV GUNICORN_CMD_ARGS="--bind=0.0.0.0:8080 --workers=3 --threads=4 --worker-tmp-dir=/tmp --no-control-socket"
ENTRYPOINT ["gunicorn"]
CMD ["chronoprof_sidecar.cli.demo.app:create_app()"]

FROM python AS sidecar
LABEL org.opencontainers.image.title="chronoprof-sidecar" \
      org.opencontainers.image.description="Exact, durable call timings of a Python web service, merged across processes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-sidecar /opt/chronoprof /opt/chronoprof
# A new named volume takes over this directory's owner.
RUN install --directory --mode=0700 --owner=10001 --group=10001 /data
USER 10001:10001
ENV CHRONOPROF_HOST=0.0.0.0 \
    CHRONOPROF_PORT=8000 \
    CHRONOPROF_DATA_DIR=/data
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "chronoprof_sidecar.server.probe"]
ENTRYPOINT ["chronoprof"]
CMD ["serve"]
