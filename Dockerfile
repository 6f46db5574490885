# One image for every process: the command says which. Small, without root, without pip.
FROM python:3.13-slim-bookworm AS build
COPY tools.txt /tmp/tools.txt
RUN pip install --no-cache-dir --require-hashes --only-binary :all: --no-deps -r /tmp/tools.txt
WORKDIR /app
ENV UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
COPY pyproject.toml uv.lock ./
COPY sdk sdk
RUN uv sync --frozen --no-default-groups --group dashboard --no-editable

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /app stepline \
    && install -d -o stepline -g stepline /data
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY pyproject.toml ./
COPY api api
COPY dashboard dashboard
COPY handlers handlers
COPY infra infra
COPY workers workers
ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1 STEPLINE_DATA_DIR=/data
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "api"]
