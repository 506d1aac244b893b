# The service, without its migrations run: `litestar database upgrade` in the same image does that,
# as the owner of the tables, before the service starts (docker-compose.yml shows how).

FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /srv/bicameral
# The libraries first: they change less often than our code, and this layer is kept until they do.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --extra otel --no-install-project
COPY README.md LICENSE alembic.ini ./
COPY migrations migrations
COPY app app
RUN uv sync --frozen --no-dev --extra otel \
    && python -m compileall -q --invalidation-mode unchecked-hash app migrations \
    && chmod -R a+rX . # a clone made under umask 027 is nobody else's to read
# What is in the image, by name, version and licence, for whoever must answer for it.
RUN uvx --from cyclonedx-bom==7.5.0 cyclonedx-py environment --pyproject pyproject.toml \
        --output-reproducible --output-file sbom.cdx.json .venv

FROM python:3.13-slim
ENV PATH=/srv/bicameral/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Where it was built: the environment refers to this folder.
WORKDIR /srv/bicameral
COPY --from=build /srv/bicameral/.venv .venv
COPY --from=build /srv/bicameral/alembic.ini /srv/bicameral/sbom.cdx.json ./
COPY --from=build /srv/bicameral/migrations migrations
COPY --from=build /srv/bicameral/app app
USER 10001:10001
EXPOSE 8000
# Not by urllib, which would go through the environment's http_proxy.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection; c = HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/health/live'); exit(c.getresponse().status != 200)"]
CMD ["litestar", "run", "--host", "0.0.0.0", "--port", "8000"]
