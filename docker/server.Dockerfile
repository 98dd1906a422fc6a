# Triton with the bundle: NVIDIA's image, our wheel, the model repository, and nothing else new.
#
#   docker build -f docker/server.Dockerfile --target server  -t ich-triton/server .
#   docker build -f docker/server.Dockerfile --target engines -t ich-triton/engines .
#
# For a build that can be repeated give the digest too: --build-arg TRITON_DIGEST=@sha256:...
# Never built by the authors, who have no container engine: see docs/operations.md.

ARG TRITON_TAG=26.07-py3
ARG TRITON_DIGEST=""
ARG PYTHON_TAG=3.12-slim-bookworm

FROM python:${PYTHON_TAG} AS wheel
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}${TRITON_DIGEST} AS server
USER 0:0
# numpy is the image's own, which its Python backend was built for. A cache file of Python would
# be a file that no manifest lists, hence --no-compile.
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    --mount=type=bind,source=docker/server-requirements.txt,target=/requirements.txt \
    python3 -m pip install --no-cache-dir --no-compile --break-system-packages \
      --requirement /requirements.txt && \
    python3 -m pip install --no-cache-dir --no-compile --break-system-packages --no-deps \
      /wheel/*.whl && \
    python3 -B -c "import ichcore, ichclient.container, ichclient.probe, grpc, numpy, PIL"
COPY --chmod=0555 model_repository /models/model_repository
# triton-server, as NVIDIA's image has it; by number, so that Kubernetes can see it is not root.
USER 1000:1000
ENV PYTHONDONTWRITEBYTECODE=1
EXPOSE 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s \
  CMD ["python3", "-m", "ichclient.probe", "ready", "127.0.0.1:8001", "--tls", "/tls", "--name", "ich-triton"]
# Every file of the repository is held against its manifest before this process becomes Triton.
ENTRYPOINT ["python3", "-m", "ichclient.container"]
# Written by `ichclient server-command --json`; a test holds it to that.
CMD ["tritonserver", \
     "--model-repository=/models/model_repository", \
     "--model-control-mode=none", \
     "--disable-auto-complete-config", \
     "--strict-readiness=true", \
     "--exit-on-error=true", \
     "--exit-timeout-secs=60", \
     "--allow-grpc=true", \
     "--grpc-address=0.0.0.0", \
     "--grpc-port=8001", \
     "--grpc-use-ssl=true", \
     "--grpc-server-cert=/tls/tls.crt", \
     "--grpc-server-key=/tls/tls.key", \
     "--grpc-use-ssl-mutual=true", \
     "--grpc-root-cert=/tls/ca.crt", \
     "--grpc-restricted-protocol=shared-memory,model-repository,statistics,trace,logging:admin=${ICH_ADMIN_TOKEN}", \
     "--allow-http=false", \
     "--allow-metrics=true", \
     "--metrics-address=0.0.0.0", \
     "--metrics-port=8002", \
     "--allow-sagemaker=false", \
     "--allow-vertex-ai=false", \
     "--allow-client-shm=false", \
     "--grpc-infer-thread-count=4", \
     "--grpc-max-response-pool-size=8", \
     "--grpc-max-connection-age=300000", \
     "--grpc-max-connection-age-grace=60000", \
     "--buffer-manager-thread-count=2", \
     "--metrics-config=summary_latencies=true", \
     "--log-format=ISO8601"]

# Builds engines for the GPU it runs on, with the TensorRT of the server's own image.
FROM server AS engines
USER 0:0
ARG TENSORRT_VERSION=""
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    python3 -m pip install --no-cache-dir --break-system-packages \
      "$(echo /wheel/*.whl)[export]" "tensorrt==${TENSORRT_VERSION:-${TRT_VERSION%%+*}}"
COPY --chmod=0555 docker/build-engines.sh /opt/ich/build-engines.sh
# A new volume takes content and owner from here: empty, and of whoever builds.
RUN rm -rf /models && install --directory --owner=1000 --group=1000 /models /cache
USER 1000:1000
ENV HOME=/tmp
HEALTHCHECK NONE
ENTRYPOINT ["/bin/sh", "/opt/ich/build-engines.sh"]
CMD ["/models", "/cache"]

# What `docker build` without --target gives.
FROM server
