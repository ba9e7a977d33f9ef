"""Runs the tasks of a local run in containers, as a cluster does."""

import os
from collections.abc import Iterable
from pathlib import Path

from kfp import local

from components.image import check_image_name
from components.notify.step import WEBHOOK_VARIABLE

# What the tasks need of this process's environment: access to buckets, and the address of the webhook.
PASSED_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "CLOUD_STORAGE_EMULATOR_ENDPOINT",
    WEBHOOK_VARIABLE,
)


def make_docker_runner(
    image: str, *, writable: Path, serving: Path | None = None, readable: Iterable[Path] = ()
) -> local.DockerRunner:
    """Creates a Docker runner for `pipeline.local.run_pipeline`.

    The containers run as the current user, so that this user owns the artifacts. They have a read-only root file
    system, their own /tmp, and those of PASSED_VARIABLES that are set. KFP itself mounts only the folder of the run.

    Args:
        image: image of the tasks; checked here, because KFP would try to pull it and fail inside a task.
        writable: folder that the tasks may write to.
        serving: folder of the published versions, which the tasks may write to; created if it does not exist.
        readable: files and folders that the tasks read. Folders, and the folders of files, are mounted read-only.

    Raises:
        ValueError: the image has a moving tag, or the folder's path contains a colon.
        FileNotFoundError: the Docker SDK, the engine or the image is missing.
    """
    check_image_name(image)
    if ":" in str(writable.absolute()):  # KFP mounts it with Docker's syntax SOURCE:TARGET:MODE
        raise ValueError(f"Expected an output folder without a colon for --runner docker. Received: {writable}")
    try:
        import docker
    except ImportError as error:
        raise FileNotFoundError("Expected the Docker SDK: pip install 'two-tower[docker]'. Received: none") from error
    try:
        client = docker.from_env()
        try:
            client.images.get(image)
        finally:
            client.close()
    except docker.errors.ImageNotFound as error:
        raise FileNotFoundError(
            f"Expected an image on this machine; `make image` builds it. Received: {image}"
        ) from error
    except docker.errors.DockerException as error:
        raise FileNotFoundError(f"Expected a Docker engine at DOCKER_HOST. Received: {error}") from error
    writable = writable.absolute()
    if serving is not None:
        serving.mkdir(parents=True, exist_ok=True)
    return local.DockerRunner(
        network_mode="host",
        user=f"{os.getuid()}:{os.getgid()}",
        read_only=True,
        environment={name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ},
        tmpfs={"/tmp": ""},  # noqa: S108 (inside the container)
        mounts=[
            *(docker.types.Mount(str(folder), str(folder), type="bind") for folder in (writable, serving) if folder),
            *(
                docker.types.Mount(str(folder), str(folder), type="bind", read_only=True)
                for folder in _folders_of(readable)
                if not folder.is_relative_to(writable)
            ),
        ],
    )


def _folders_of(paths: Iterable[Path]) -> list[Path]:
    """Returns the folders that contain the paths and their link targets."""
    folders = set()
    for path in paths:
        for place in (path.absolute(), path.resolve()):
            folders.add(place if place.is_dir() else place.parent)
    return sorted(folders)
