# The client alone: DICOM in, a result out, over gRPC to a server elsewhere; or a station that
# listens (`listen`, compose profile pacs). No server, no torch.
#
#   docker build -f docker/client.Dockerfile -t ich-triton/client .
#   docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp \
#     -v /studies:/study:ro -v /results:/results ich-triton/client infer /study --out /results --url HOST:8001
#
# Never built by the authors, who have no container engine: see docs/operations.md.

ARG PYTHON_TAG=3.12-slim-bookworm
ARG PYTHON_DIGEST=""

FROM python:${PYTHON_TAG}${PYTHON_DIGEST} AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/ich && \
    /opt/ich/bin/python -m pip install --no-cache-dir '.[dicomweb,dimse,dicom-out,zstd]'

FROM python:${PYTHON_TAG}${PYTHON_DIGEST}
COPY --from=build /opt/ich /opt/ich
# A volume that is mounted here for the first time takes this owner.
RUN install -d -o 10001 -g 10001 /state
# Nobody: the root file system is read, never written.
USER 10001:10001
ENV PATH=/opt/ich/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
ENTRYPOINT ["ichclient"]
CMD ["--help"]
