# syntax=docker/dockerfile:1
# pfltune from its wheel, for CPUs and GPUs alike: torch brings CUDA along, the host its driver.
#
#   docker build -t pfltune .
#   docker run --rm --shm-size 2g -v "$PWD:/work" pfltune compare
#   docker run --rm --shm-size 2g -v "$PWD:/work" --gpus all pfltune compare --scenario fedperfix-cifar100
#
# docs/howto/install.md has more, also how to leave CUDA out.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS wheel
# What pip reads by itself: a mirror, or a place that has torch without CUDA.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /sources
COPY pyproject.toml README.md LICENSE ./
COPY platform platform
COPY methods methods
COPY search_spaces search_spaces
RUN pip wheel --quiet --no-deps --wheel-dir /wheels .

FROM ${BASE}
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --quiet --no-cache-dir --constraint /tmp/constraints.txt /wheels/*.whl \
    && useradd --create-home --uid 1000 pfltune \
    && install --directory --owner pfltune /work
USER pfltune
WORKDIR /work
ENV PFLTUNE_RESULTS=/work/results \
    PFLTUNE_DATA=/work/data
ENTRYPOINT ["pfltune"]
CMD ["--help"]
