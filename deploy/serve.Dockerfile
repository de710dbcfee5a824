# The image of `sake serve`. From the root of the repository:
#
#   docker build -f deploy/serve.Dockerfile -t sake-serve .
#
# pip takes packages from where PIP_INDEX_URL and PIP_EXTRA_INDEX_URL say. On a machine without a
# GPU, name an index with wheels of torch for CPUs alone: the image is several GB smaller.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=/src/constraints.txt
WORKDIR /src
RUN python -m venv /opt/sake
ENV PATH=/opt/sake/bin:$PATH
# What it depends on, in a layer that stays until these two files change.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    extra = p['optional-dependencies']; \
    extras = sum((extra[name] for name in ('models', 'serve', 'sign', 'keyless', 'remote')), []); \
    print(*p['dependencies'], *extras, sep='\n')" > requirements.txt \
    && pip install -r requirements.txt
COPY LICENSE README.md ./
COPY sake_bench sake_bench
COPY sake_registry sake_registry
RUN pip install --no-deps .

FROM python:${PYTHON}-slim
# The uid is a number, so that an orchestrator can see that it is not root's.
RUN useradd --uid 10001 --create-home sake \
    && install -d -o sake -g sake /srv/sake /home/sake/.cache
COPY --from=build /opt/sake /opt/sake
ENV PATH=/opt/sake/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
WORKDIR /srv/sake
EXPOSE 8000
# Loading a model takes its time; one that comes from a hub, longer.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# It listens for other machines, and so refuses to start without SAKE_ADMIN_TOKEN.
ENTRYPOINT ["sake", "serve", "--host", "0.0.0.0", "--port", "8000", "--bundle", "/srv/sake/production.json"]
