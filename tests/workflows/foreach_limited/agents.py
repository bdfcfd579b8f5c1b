from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Picture(BaseModel):
    file: str
    number: int
    width: int


class Thumbnail(BaseModel):
    file: str


class Files(BaseModel):
    files: list[str]


class Album(BaseModel):
    page: str


@cast.handles("picture.shrink", by=("cyd",))
def shrink(picture: Picture, context: TaskContext[str]) -> Thumbnail:
    return Thumbnail(file=f"{picture.number}-{picture.width}-{picture.file}")


@cast.handles("picture.album")
def album(thumbnails: Files, context: TaskContext[str]) -> Album:
    return Album(page=f"{len(thumbnails.files)} pictures, from {thumbnails.files[0]}")
