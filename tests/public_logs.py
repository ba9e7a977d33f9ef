"""Logs in the shapes of public data sets, line by line as their sources document them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from components.core.logs.layout_table import LAYOUTS

SAMPLES = {
    "retailrocket": """\
timestamp,visitorid,event,itemid,transactionid
1579564800000,2,view,20,
1579564802000,2,view,10,
1577836800000,1,view,10,
1577836860000,1,view,20,
1577836860500,1,view,20,
1577836920000,1,addtocart,20,
1577836980000,1,transaction,20,5
1577844180000,1,view,30,
1578700800000,257597,view,10,
1578700801000,257597,view,20,
""",
    "gru4rec": """\
SessionId\tItemId\tTime
1\t214536502\t1577836800.277
1\t214536500\t1577836801.5
1\t214536500\t1577836802.0
2\t214536500\t1578700800.0
2\t214536502\t1578700801.25
3\t214536502\t1579564800.0
3\t214536500\t1579564800.0
""",
    "yoochoose": """\
1,2014-04-07T10:51:09.277Z,214536502,0
1,2014-04-07T10:54:09.868Z,214536500,0
2,2014-04-07T13:56:37.614Z,214662742,0
2,2014-04-07T13:57:19.373Z,214662742,0
2,2014-04-07T13:58:37.446Z,214825110,S
3,2014-04-09T12:00:00.000Z,214536502,11
3,2014-04-09T12:00:30.500Z,214662742,2088922147
""",
    "diginetica": """\
sessionId;userId;itemId;timeframe;eventdate
1;NA;81766;526309;2016-05-09
1;NA;31331;1031018;2016-05-09
1;NA;32118;243569;2016-05-09
2;NA;81766;0;2016-05-20
2;1234;31331;1000;2016-05-20
3;NA;32118;10;2016-05-30
3;NA;81766;20;2016-05-30
""",
    "otto": """\
{"session":42,"events":[{"aid":0,"ts":1577836800000,"type":"clicks"},{"aid":1,"ts":1577836801000,"type":"clicks"},\
{"aid":1,"ts":1577836802000,"type":"carts"},{"aid":1,"ts":1577836803000,"type":"orders"}]}
{"session": 43, "events": [{"aid": 1, "ts": 1578700800000, "type": "clicks"}, \
{"aid": 0, "ts": 1578700800025, "type": "clicks"}]}
{"session":44,"events":[{"aid":1855602,"ts":1579564800000,"type":"clicks"},\
{"aid":0,"ts":1579564800000,"type":"clicks"}]}
""",
    "rees46": """\
event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde-8bb3-4e00-8c23-a032dfed738c
2019-10-01 00:05:00 UTC,view,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,541312140,\
72d76fde-8bb3-4e00-8c23-a032dfed738c
2019-10-01 00:06:00 UTC,cart,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,541312140,\
72d76fde-8bb3-4e00-8c23-a032dfed738c
2019-10-01 00:07:00 UTC,purchase,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,541312140,\
72d76fde-8bb3-4e00-8c23-a032dfed738c
2019-10-02 12:00:00 UTC,view,3900821,2053013552326770905,,aqua,33.20,554748717,9333dfbd-b87a-4708-9857-6336556b0fcc
2019-10-02 12:30:00 UTC,view,44600062,2103807459595387724,,,35.79,554748717,9333dfbd-b87a-4708-9857-6336556b0fcc
2019-10-04 00:30:00 UTC,view,44600062,2103807459595387724,,,35.79,541312140,566511c2-e2e3-422b-b695-cf8e6e792ca8
2019-10-04 01:00:00 UTC,view,3900821,2053013552326770905,,aqua,33.20,541312140,566511c2-e2e3-422b-b695-cf8e6e792ca8
""",
    "taobao": """\
1,2268318,2520377,pv,1511544070
1,2333346,2520771,pv,1511544100
1,2333346,2520771,fav,1511544110
1,2333346,2520771,cart,1511544120
1,2333346,2520771,buy,1511544130
2,2268318,2520377,pv,2122867355
100,2333346,2520771,pv,1512150000
100,2268318,2520377,pv,1512150010
1000,2268318,2520377,pv,1512300000
1000,2333346,2520771,pv,1512300060
""",
    "trivago": """\
user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,prices
00RL8Z82B2Z1,aff3928535f48,1541037460,1,search for poi,Newtown,AU,"Sydney, Australia",mobile,,,
00RL8Z82B2Z1,aff3928535f48,1541037522,2,interaction item image,666856,AU,"Sydney, Australia",mobile,,,
00RL8Z82B2Z1,aff3928535f48,1541037522,3,interaction item image,666856,AU,"Sydney, Australia",mobile,,,
00RL8Z82B2Z1,aff3928535f48,1541037522,4,clickout item,109038,AU,"Sydney, Australia",mobile,Focus on Distance,\
3400638|1253714|109038,95|66|501
BNJTMTVDSHPB,2fbc4bbb2b27b,1541339860,1,interaction item info,109038,DE,"Köln, Germany",desktop,,,
BNJTMTVDSHPB,2fbc4bbb2b27b,1541339861,2,filter selection,"Pool, heated",DE,"Köln, Germany",desktop,"Pool, heated",,
BNJTMTVDSHPB,2fbc4bbb2b27b,1541339862,3,search for item,666856,DE,"Köln, Germany",desktop,"Pool, heated",,
00RL8Z82B2Z1,5a3b4c5d6e7f8,1541469400,1,interaction item deals,666856,AU,"Sydney, Australia",mobile,,,
00RL8Z82B2Z1,5a3b4c5d6e7f8,1541469460,2,interaction item rating,109038,AU,"Sydney, Australia",mobile,,,
""",
    "lastfm-1k": """\
user_000639\t2009-05-01T01:57:47Z\tc5db90c4-580d-4f33-b364-fbaa5a3a58b5\tThe Dogs D'Amour\t\tFall in Love Again?
user_000639\t2009-05-01T01:53:56Z\t\t"Weird Al" Yankovic\t\tEat It
user_000639\t2009-04-25T10:00:00Z\t\t"Weird Al" Yankovic\t\tFat
user_000639\t2009-04-25T03:00:00Z\tc5db90c4-580d-4f33-b364-fbaa5a3a58b5\tThe Dogs D'Amour\t\tWait Until I'm Dead
user_000001\t2013-09-29T18:32:04Z\t\t"Weird Al" Yankovic\t\tLike a Surgeon
user_000001\t2009-04-01T20:30:00Z\t\t"Weird Al" Yankovic\t\tAmish Paradise
user_000001\t2009-04-01T12:31:00Z\t\tThe Dogs D'Amour\t\tFall in Love Again?
user_000001\t2009-04-01T12:30:00Z\tc5db90c4-580d-4f33-b364-fbaa5a3a58b5\tThe Dogs D'Amour\t\tWait Until I'm Dead
""",
    "gowalla": """\
0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847
0\t2010-10-19T20:00:00Z\t30.2691029532\t-97.7493953705\t420315
1\t2010-10-08T22:17:43Z\t30.2691029532\t-97.7493953705\t420315
1\t2010-10-08T21:17:43Z\t30.2359091167\t-97.7951395833\t22847
2\t2010-09-03T09:00:01Z\t40.6438845363\t-73.7828063965\t23261
2\t2010-09-02T09:00:00Z\t30.2359091167\t-97.7951395833\t22847
2\t2010-09-01T10:00:00Z\t30.2691029532\t-97.7493953705\t420315
""",
    "movielens": """\
userId,movieId,rating,timestamp
1,296,5.0,1577836801
1,306,3.5,1577836800
1,307,5.0,1577923201
2,296,4.0,1578700800
2,306,0.5,1578700860
3,307,5.0,1579564800
3,296,1.0,1579564801
""",
    "amazon-reviews": """\
{"rating": 5.0, "title": "Such a lovely scent", "text": "This \\"spray\\" is really nice, it does the trick.\\n", \
"images": [], "asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8EO", "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", \
"timestamp": 1577836800277, "helpful_vote": 0, "verified_purchase": true}
{"rating": 4.0, "title": "{}", "text": "caf\\u00e9", "images": [{"small_image_url": "x"}], "asin": "B081TJ8YS3", \
"parent_asin": "B097R46CSY", "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1578700800000, "helpful_vote": 1, \
"verified_purchase": true}
{"rating": 1.0, "title": "", "text": "", "images": [], "asin": "B081TJ8YS3", "parent_asin": "B097R46CSY", \
"user_id": "AE74DYR3QUGVPZJ3P7RFWBGIX7XQ", "timestamp": 1591228800000, "helpful_vote": 0, "verified_purchase": false}
{"rating": 2.0, "title": "", "text": "", "images": [], "asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8EO", \
"user_id": "AE74DYR3QUGVPZJ3P7RFWBGIX7XQ", "timestamp": 1591315200000, "helpful_vote": 0, "verified_purchase": false}
{"rating": 3.0, "title": "", "text": "", "images": [], "asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8EO", \
"user_id": "AHV6QCNBJNSGLATP56JAWJ3C4G2A", "timestamp": 1594944000000, "helpful_vote": 0, "verified_purchase": true}
{"rating": 3.0, "title": "", "text": "", "images": [], "asin": "B097R46CSY", "parent_asin": "B097R46CSY", \
"user_id": "AHV6QCNBJNSGLATP56JAWJ3C4G2A", "timestamp": 1595116800000, "helpful_vote": 0, "verified_purchase": true}
""",
    "hm": """\
t_dat,customer_id,article_id,price,sales_channel_id
2018-09-20,000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,0663713001,0.050830508474576264,2
2018-09-20,000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,0541518023,0.030491525423728813,2
2018-09-25,000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,0505221004,0.01523728813559322,1
2018-10-05,00007d2de826758b65a93dd24ce629ed66842531df6699338c5570910a014cc2,0541518023,0.030491525423728813,2
2018-10-06,00007d2de826758b65a93dd24ce629ed66842531df6699338c5570910a014cc2,0663713001,0.050830508474576264,2
2018-10-15,00083cda041544b2fbb0e0d2905ad17da7cf1007526fb4c73235dccbbc132280,0505221004,0.01523728813559322,2
2018-10-16,00083cda041544b2fbb0e0d2905ad17da7cf1007526fb4c73235dccbbc132280,0541518023,0.030491525423728813,2
""",
}

DAY_MS = 86_400_000
NUM_ITEMS = 40
ACTIONS = LAYOUTS["trivago"].settings["event_types"]
SHELF_SIZE = 10  # the next item of a session is on the same shelf
# Each layout's event: a line made from the number of the session, the item and the time in milliseconds.
EVENTS: dict[str, Callable[[int, str, int], str]] = {
    "retailrocket": lambda session, item, time: f"{time},{session},view,{item},",
    "gru4rec": lambda session, item, time: f"{session}\t{item}\t{time / 1000}",
    "yoochoose": lambda session, item, time: f"{session},{_show(time, 'milliseconds')},{item},0",
    "diginetica": lambda session, item, time: f"{session};NA;{item};{time % DAY_MS};{_show(time)[:10]}",
    "rees46": lambda session, item, time: (
        f"{_show(time).replace('T', ' ').replace('Z', ' UTC')},view,{item},1,a.b,,1.5,{session},{session:032x}"
    ),
    "taobao": lambda session, item, time: f"{session},{item},1,pv,{time // 1000}",
    "trivago": lambda session, item, time: (
        f"U{session},S{session},{time // 1000},1,{ACTIONS[(session + time // 1000) % len(ACTIONS)]},{item},AU,"
        f'"Sydney, Australia",mobile,,{item}|1,9|8'
    ),
    "lastfm-1k": lambda session, item, time: f'user_{session:06}\t{_show(time)}\t\t{item}\t\tThe "best" of',
    "gowalla": lambda session, item, time: f"{session}\t{_show(time)}\t30.2359091167\t-97.7951395833\t{item}",
    "movielens": lambda session, item, time: f"{session},{item},3.5,{time // 1000}",
    "amazon-reviews": lambda session, item, time: json.dumps(
        {"rating": 5.0, "text": 'a, "b"', "parent_asin": item, "user_id": f"A{session}", "timestamp": time}
    ),
    "hm": lambda session, item, time: f"{_show(time)[:10]},{session:064x},{item},0.0508,2",
}
ITEMS = {"lastfm-1k": 'Artist "{}"', "hm": "0{:09d}", "amazon-reviews": "B{:09d}"}  # others are numbers
NUM_DAYS = {"taobao": 8, "amazon-reviews": 200}  # of the log; 40 for the others


def name_item(layout: str, number: int) -> str:
    """The id of an item in the logs of a layout."""
    return ITEMS.get(layout, "{}").format(number)


def write_log(layout: str, path: Path, *, num_sessions: int = 1_200) -> None:
    """Writes a log of sessions with 2 to 5 events, by a visitor each, up to the end of the layout's window."""
    rng = np.random.default_rng(7)
    end = datetime.fromisoformat(LAYOUTS[layout].settings.get("as_of", "2020-03-01"))
    end_ms = round(end.replace(tzinfo=end.tzinfo or UTC).timestamp() * 1000) - 60_000
    starts = np.sort(end_ms - rng.integers(0, NUM_DAYS.get(layout, 40) * DAY_MS, num_sessions))
    sessions = []
    for number, start in enumerate(starts.tolist(), start=1):
        first = rng.integers(NUM_ITEMS)
        places = first % SHELF_SIZE + np.cumsum(rng.integers(1, 3, rng.integers(2, 6)))
        items = first - first % SHELF_SIZE + places % SHELF_SIZE
        sessions.append([(number, name_item(layout, item), start + 1_000 * place) for place, item in enumerate(items)])
    if layout == "otto":
        lines = [
            json.dumps(
                {
                    "session": session[0][0],
                    "events": [{"aid": int(item), "ts": time, "type": "clicks"} for _, item, time in session],
                }
            )
            for session in sessions
        ]
    else:
        lines = [EVENTS[layout](*event) for session in sessions for event in session]
    header = LAYOUTS[layout].header
    if header:
        lines.insert(0, LAYOUTS[layout].settings["delimiter"].join(header))
    path.write_text("\n".join(lines) + "\n")


def _show(time_ms: int, precision: str = "seconds") -> str:
    """A time such as 2014-04-07T10:51:09Z."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC)
    return time.isoformat(timespec=precision).replace("+00:00", "Z")
