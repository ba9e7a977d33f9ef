"""The layouts of well-known public logs: how each file looks, and the settings that read it and split it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ISO_UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
_REES46 = (
    "event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id",
    "user_session",
)  # fmt: skip
_TRIVAGO = (
    "user_id", "session_id", "timestamp", "step", "action_type", "reference", "platform", "city", "device",
    "current_filters", "impressions", "prices",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LogLayout:
    """The layout of a log.

    Attributes:
        name: name of the layout.
        description: the data set, the file and what an event is, in one line.
        source: title of the page or paper that documents the format.
        url: address of the source.
        settings: values of parameters of `sessionize`, by name.
        header: column names of the file, each of which may be in quotes; empty for files without a header.
        line: regular expression of a line of a file without a header.
    """

    name: str
    description: str
    source: str
    url: str
    settings: Mapping[str, Any]
    header: tuple[str, ...] = ()
    line: str = ""

    def fits(self, first_line: str) -> bool:
        """Whether the first line of a file, without its newline, is one of this layout."""
        if self.line:
            return re.fullmatch(self.line, first_line) is not None
        delimiter = self.settings["delimiter"]
        return first_line in (delimiter.join(self.header), delimiter.join(f'"{name}"' for name in self.header))


_LAYOUTS = (
    LogLayout(
        name="retailrocket",
        description="RetailRocket, events.csv: views of a shop; sessions are cut at gaps of an hour",
        source="Retailrocket recommender system dataset",
        url="https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        header=("timestamp", "visitorid", "event", "itemid", "transactionid"),
        settings={
            "visitor_column": "visitorid",
            "item_column": "itemid",
            "event_column": "event",
            "event_types": ["view"],
            "time_column": "timestamp",
            "time_format": "milliseconds",
            "delimiter": ",",
        },
    ),
    LogLayout(
        name="gru4rec",
        description="Files prepared for GRU4Rec or session-rec; their sessions, events and order are kept",
        source="GRU4Rec, examples/rsc15/preprocess.py",
        url="https://github.com/hidasib/GRU4Rec",
        header=("SessionId", "ItemId", "Time"),
        # The times are float seconds or integer milliseconds, depending on the script that wrote the file.
        settings={
            "session_column": "SessionId",
            "item_column": "ItemId",
            "event_column": "",
            "time_column": "Time",
            "delimiter": "\t",
            "drop_repeats": False,
            "tie_order": "file",
        },
    ),
    LogLayout(
        name="yoochoose",
        description="RecSys Challenge 2015, yoochoose-clicks.dat: clicks of a shop; the last day is the test split",
        source="RecSys Challenge 2015",
        url="https://2015.recsyschallenge.com/challenge.html",
        line=rf"\d+,{_ISO_UTC},\d+,[^,]*",
        # One day for each split, as in GRU4Rec's preparation (https://github.com/hidasib/GRU4Rec).
        settings={
            "has_header": False,
            "column_names": ["session", "time", "item", "category"],
            "session_column": "session",
            "item_column": "item",
            "event_column": "",
            "time_column": "time",
            "time_format": "iso",
            "delimiter": ",",
            "test_days": 1,
            "valid_days": 1,
        },
    ),
    LogLayout(
        name="diginetica",
        description="CIKM Cup 2016, train-item-views.csv: views of a shop; the time is eventdate plus timeframe",
        source="CIKM Cup 2016 Track 2: Personalized E-Commerce Search Challenge",
        url="https://competitions.codalab.org/competitions/11161",
        header=("sessionId", "userId", "itemId", "timeframe", "eventdate"),
        settings={
            "session_column": "sessionId",
            "item_column": "itemId",
            "event_column": "",
            "time_column": "eventdate",
            "time_format": "iso",
            "time_offset_column": "timeframe",
            "delimiter": ";",
        },
    ),
    LogLayout(
        name="otto",
        description="OTTO, *.jsonl: one session a line with clicks, carts and orders; clicks count",
        source="OTTO Recommender Systems Dataset",
        url="https://github.com/otto-de/recsys-dataset",
        line=r'\{\s*"session":\s*\d+,\s*"events":\s*\[\s*\{\s*"aid":.*',
        settings={
            "session_column": "session",
            "item_column": "events.aid",
            "event_column": "events.type",
            "event_types": ["clicks"],
            "time_column": "events.ts",
            "time_format": "milliseconds",
            "tie_order": "file",
        },
    ),
    LogLayout(
        name="rees46",
        description="REES46, 2019-Oct.csv and others: views of a multi-category store; the last day is the test split",
        source="eCommerce behavior data from multi category store",
        url="https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store",
        header=_REES46,
        # One day for each split, as in https://github.com/hidasib/gru4rec_third_party_comparison.
        settings={
            "session_column": "user_session",
            "item_column": "product_id",
            "event_column": "event_type",
            "event_types": ["view"],
            "time_column": "event_time",
            "time_format": "iso",
            "delimiter": ",",
            "test_days": 1,
            "valid_days": 1,
        },
    ),
    LogLayout(
        name="taobao",
        description="Taobao, UserBehavior.csv: page views (pv) of the nine days that the data set is about",
        source="User Behavior Data from Taobao for Recommendation",
        url="https://tianchi.aliyun.com/dataset/649",
        line=r"\d+,\d+,\d+,(pv|buy|cart|fav),-?\d+",
        # The window is the nine days of the documentation, in the time of China. Some times in the file are outside.
        settings={
            "has_header": False,
            "column_names": ["user", "item", "category", "behavior", "timestamp"],
            "visitor_column": "user",
            "item_column": "item",
            "event_column": "behavior",
            "event_types": ["pv"],
            "time_column": "timestamp",
            "time_format": "seconds",
            "delimiter": ",",
            "as_of": "2017-12-04T00:00:00+08:00",
            "window_days": 9,
            "test_days": 1,
            "valid_days": 1,
        },
    ),
    LogLayout(
        name="trivago",
        description="RecSys Challenge 2019, train.csv: actions on accommodations; the last day is the test split",
        source="trivago RecSys Challenge 2019 Dataset",
        url="https://recsys.trivago.cloud/challenge/dataset/",
        header=_TRIVAGO,
        # The actions whose reference is an item. The rows of a session are in the order of its steps.
        settings={
            "session_column": "session_id",
            "item_column": "reference",
            "event_column": "action_type",
            "event_types": [
                "clickout item",
                "interaction item deals",
                "interaction item image",
                "interaction item info",
                "interaction item rating",
                "search for item",
            ],
            "time_column": "timestamp",
            "time_format": "seconds",
            "tie_order": "file",
            "delimiter": ",",
            "test_days": 1,
            "valid_days": 1,
        },
    ),
    LogLayout(
        name="lastfm-1k",
        description="Last.fm 1K, userid-timestamp-artid-artname-traid-traname.tsv: artists played, gaps of 8 hours",
        source="Last.fm Dataset - 1K users",
        url="http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html",
        line=rf"user_\d+\t{_ISO_UTC}(\t[^\t]*){{4}}",
        # The gap is that of https://github.com/twchen/lessr. Many artists have no id, so the name is the item. The log
        # is documented up to 2009-05-05. Its most active users play more than 50,000 tracks.
        settings={
            "has_header": False,
            "column_names": ["user", "time", "artist_id", "artist", "track_id", "track"],
            "visitor_column": "user",
            "item_column": "artist",
            "event_column": "",
            "time_column": "time",
            "time_format": "iso",
            "delimiter": "\t",
            "max_gap_minutes": 480.0,
            "max_visitor_events": 0,
            "as_of": "2009-05-06",
        },
    ),
    LogLayout(
        name="gowalla",
        description="Gowalla, loc-gowalla_totalCheckins.txt: check-ins at locations, cut at gaps of a day",
        source="SNAP: Gowalla",
        url="https://snap.stanford.edu/data/loc-gowalla.html",
        line=rf"\d+\t{_ISO_UTC}\t-?[\d.]+\t-?[\d.]+\t\d+",
        # The gap is that of https://github.com/twchen/lessr.
        settings={
            "has_header": False,
            "column_names": ["user", "time", "latitude", "longitude", "location"],
            "visitor_column": "user",
            "item_column": "location",
            "event_column": "",
            "time_column": "time",
            "time_format": "iso",
            "delimiter": "\t",
            "max_gap_minutes": 1440.0,
        },
    ),
    LogLayout(
        name="movielens",
        description="MovieLens, ratings.csv (not the .dat files): every rating counts, cut at gaps of a day",
        source="MovieLens, README of ml-25m",
        url="https://files.grouplens.org/datasets/movielens/ml-25m-README.html",
        header=("userId", "movieId", "rating", "timestamp"),
        settings={
            "visitor_column": "userId",
            "item_column": "movieId",
            "event_column": "",
            "time_column": "timestamp",
            "time_format": "seconds",
            "delimiter": ",",
            "max_gap_minutes": 1440.0,
        },
    ),
    LogLayout(
        name="amazon-reviews",
        description="Amazon Reviews 2023, *.jsonl: every review counts, cut at gaps of 30 days, splits of 30 days",
        source="Amazon Reviews'23",
        url="https://amazon-reviews-2023.github.io/",
        line=r'\{(?=.*"parent_asin":)(?=.*"user_id":)(?=.*"timestamp":).*',
        # A split that is shorter than the gap would hold only the visitors who paused that long.
        settings={
            "visitor_column": "user_id",
            "item_column": "parent_asin",
            "event_column": "",
            "time_column": "timestamp",
            "time_format": "milliseconds",
            "max_gap_minutes": 43_200.0,
            "test_days": 30,
            "valid_days": 30,
        },
    ),
    LogLayout(
        name="hm",
        description="H&M, transactions_train.csv: every purchase counts, cut at gaps of 7 days",
        source="H&M Personalized Fashion Recommendations",
        url="https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations",
        header=("t_dat", "customer_id", "article_id", "price", "sales_channel_id"),
        # The gap is the challenge's horizon: the purchases of the following week.
        settings={
            "visitor_column": "customer_id",
            "item_column": "article_id",
            "event_column": "",
            "time_column": "t_dat",
            "time_format": "iso",
            "delimiter": ",",
            "max_gap_minutes": 10_080.0,
        },
    ),
)
LAYOUTS = {layout.name: layout for layout in _LAYOUTS}
