# The image of `vllm serve` with the plugin. From the root of the repository:
#
#   docker build -f deploy/vllm.Dockerfile -t sake-vllm .
#
# BASE may be another image with vLLM in it, one for CPUs, say. The plugin is tested with this
# version. pip takes packages from where PIP_INDEX_URL and PIP_EXTRA_INDEX_URL say.
ARG VLLM=0.32.0
ARG BASE=vllm/vllm-openai:v${VLLM}

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY constraints-vllm.txt deploy/vllm-requirements.txt ./
RUN python3 -m pip wheel --no-deps -w /wheels -c constraints-vllm.txt -r vllm-requirements.txt
COPY LICENSE README.md pyproject.toml ./
COPY sake_bench sake_bench
COPY sake_registry sake_registry
RUN python3 -m pip wheel --no-deps -w /wheels .

FROM ${BASE}
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python3 -m pip install --no-cache-dir --no-index --no-deps /wheels/*.whl
RUN useradd --uid 10001 --create-home sake \
    && install -d -o sake -g sake /srv/sake /home/sake/.cache
# Only this plugin is loaded, its routes /v1/edits included. Metrics of edits have a port of their
# own: the worker that counts them is another process than the server.
ENV HOME=/home/sake \
    PYTHONUNBUFFERED=1 \
    SAKE_BUNDLE=/srv/sake/production.json \
    SAKE_LOG=/dev/stderr \
    SAKE_METRICS_HOST=0.0.0.0 \
    SAKE_METRICS_PORT=9400 \
    VLLM_PLUGINS=sake
USER 10001
WORKDIR /srv/sake
EXPOSE 8000 9400
# Loading and compiling a model takes minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=900s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# Without SAKE_ADMIN_TOKEN its routes switch nothing.
ENTRYPOINT ["vllm", "serve"]
CMD ["--host", "0.0.0.0", "--port", "8000"]
