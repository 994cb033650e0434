"""Predict a movie's IMDb score from its trailer: scrape frames, create a dataset, train, predict."""

from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings

__all__ = ["DatasetSettings", "Project", "ScrapeSettings", "TrailerError", "TrainSettings"]
__version__ = "0.2.0"
