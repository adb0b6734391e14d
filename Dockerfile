# An environment with fairseq, this package and all that its commands need; docs/container.md says how to use it.
#
#   docker build -t fairseq_ghat .                             for CPUs
#   docker build -t fairseq_ghat --build-arg DEVICE=cuda .     for NVIDIA's GPUs

ARG DEVICE=cpu

FROM python:3.11-slim AS cpu
# Torch without the libraries of CUDA.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

FROM nvidia/cuda:13.0.0-base-ubuntu24.04 AS cuda
# Python 3.12. The libraries of CUDA come with torch.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --no-install-recommends -y python3 python3-venv && rm -rf /var/lib/apt/lists/*

FROM ${DEVICE} AS installed
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# fairseq is compiled; python3-dev is for the Python of Ubuntu.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --no-install-recommends -y g++ python3-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/fairseq_ghat
COPY . .
RUN export PIP_NO_CACHE_DIR=1 && source scripts/environment.sh && install_missing benchmarks export report && \
    ghat-options --list >/dev/null

FROM ${DEVICE}
COPY --from=installed /opt/fairseq_ghat /opt/fairseq_ghat
# A user given by --user has neither a name nor a home, for which torch and matplotlib ask.
ENV PATH=/opt/fairseq_ghat/.venv/bin:$PATH USER=ghat MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1
RUN useradd --uid 1001 --create-home --home-dir /data ghat
USER 1001
WORKDIR /data
CMD ["bash"]
