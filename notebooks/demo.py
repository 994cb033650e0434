"""The whole road on sample trailers: render them, run the three notebooks, score two trailers the model never saw.

python notebooks/demo.py FOLDER        FOLDER is emptied first
"""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from trailer_lib import samples

HERE = Path(__file__).resolve().parent


def main() -> int:
    demo = Path(sys.argv[1]).resolve()
    root = demo / "root"
    if demo.exists() and not (root / "held_out").exists():
        sys.exit(f"{demo} is not an earlier demo: name a new folder")
    shutil.rmtree(demo, ignore_errors=True)
    print("== 1 of 3: rendering fictional films and their trailers")
    samples.render(root)
    print("== 2 of 3: scrape, create the dataset, train: the three notebooks in order")
    run = subprocess.run([sys.executable, HERE / "run.py", root, demo / "notebooks"], check=False)
    if run.returncode:
        return run.returncode
    print("== 3 of 3: scoring trailers that no notebook saw")
    _score(root, demo)
    print(NEXT.format(demo=demo, root=root, python=Path(sys.executable).parent))
    return 0


def _score(root: Path, demo: Path) -> None:
    from trailer_lib.predict import Predictor  # after the rendering: torch takes seconds to load

    predictor = Predictor.load(root / "models" / "best_model.pt")
    with open(root / "held_out" / "scores.csv", encoding="utf-8") as file:
        films = list(csv.DictReader(file))
    for film in films:
        prediction = predictor.predict(root / "held_out" / film["file"], {"genres": film["genres"]})
        prediction.figure().savefig(demo / f"{Path(film['file']).stem}.png", dpi=120)
        points = f"predicted {prediction.score:.1f}, from the trailer alone {prediction.trailer_score:.1f}"
        print(f"   {film['title']} ({film['year']}): {points}, true {film['score']}")
    print(f"   {prediction.verdict}")
    errors = prediction.split, prediction.mae, prediction.mean_baseline_mae
    print("   its mean error on {} films: {:.2f} points; the mean baseline's: {:.2f}".format(*errors))


NEXT = """
The pictures behind the two scores: {demo}/*.png      The notebooks as they ran: {demo}/notebooks/
Next, look and play:   TRAILER_ROOT={root} {python}/jupyter lab notebooks/3_train.ipynb
Next, real films:      put movie_metadata.csv and ml-youtube.csv into excels/ (README, "Where the data comes from"),
                       then open notebooks/1_scrape.ipynb with no TRAILER_ROOT set"""


if __name__ == "__main__":
    sys.exit(main())
