"""Ways to learn a score from a row of features a film, all from scikit-learn."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from trailer_lib import baselines

COMPONENTS = 40


def table_heads(columns: int, train_films: int) -> dict[str, BaseEstimator]:
    """Ways to learn the score from rows of features, float [films, columns] with nan where unknown."""
    count = min(COMPONENTS, columns, train_films // 2)
    penalties = np.logspace(0, 6, 19)
    models = {
        "ridge": [RidgeCV(penalties)],
        "ridge on roots": [RidgeCV(penalties)],
        "principal components + ridge": [PCA(count, random_state=0), RidgeCV(penalties)],
        "partial least squares": [PLSRegression(min(2, count))],
        "support vectors, RBF": [SVR(C=0.5, gamma=0.2 / columns)],
        "nearest neighbours": [PCA(count, random_state=0), KNeighborsRegressor(min(40, train_films // 2))],
        "principal components + boosting": [PCA(count, random_state=0), baselines.boosting()],
        "extra trees": [ExtraTreesRegressor(100, min_samples_leaf=5, max_features=0.1, random_state=0)],
    }
    return {name: _prepared(steps, roots=name == "ridge on roots") for name, steps in models.items()}


def _prepared(steps: list[BaseEstimator], roots: bool) -> BaseEstimator:
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    # Features of a ReLU network are many small values and a few large ones: their roots are nearer to normal.
    return make_pipeline(filled, *([FunctionTransformer(signed_root)] if roots else []), StandardScaler(), *steps)


def signed_root(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.sqrt(np.abs(values))
