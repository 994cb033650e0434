"""Which films: the tables in excels/ go in; films with a score and a trailer come out, and why rows were dropped."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalog": ["COLUMNS", "films_of_trailers", "load", "trailer_keys"],
        "join": ["METADATA", "scored_films"],
        "official_tables": ["fetch"],
        "read_table": ["parse_number", "read_rows"],
        "titles": "FILM_ID IMDB_ID LINK explain_files find_film match_titles normal_title video_id youtube_id".split(),
    },
)
