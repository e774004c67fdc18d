from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.serving.trace_csv import stamps
from armillary.serving.traces import Trace, check_context, chunks, concatenate, read, take, write

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens\r
2023-11-16 18:17:03.9799600,4808,10\r
2023-11-16 18:17:04.0319600,3180,8"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:01+00:00,2399,6
2024-05-10 02:00:01.5+02:00,76,15
"""
BURST = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,GPT-4,1087,0,1087,Conversation log
118,GPT-4,417,276,693,API log
"""
BURST_2 = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
19440110.0,1722ac82-0a46-4bf0-aa08-89794e7a2b3f,43,GPT-4,906,446,1352,Conversation log
19440161.0,,2,ChatGPT,36,29,65,API log
"""
MOONCAKE = """{"timestamp": 3000, "input_length": 600, "output_length": 50, "hash_ids": [7, 8]}
{"timestamp": 3000, "input_length": 512, "output_length": 9, "hash_ids": [7]}
"""
BAILIAN = """{"chat_id": 159, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 33,\
 "output_length": 132, "type": "text", "turn": 1, "hash_ids": [1089, 1090, 1091]}
{"chat_id": 160, "parent_chat_id": 159, "timestamp": 62.5, "input_length": 16, "output_length": 0,\
 "type": "text", "turn": 2, "hash_ids": [1089]}
{"chat_id": 161, "parent_chat_id": 159, "timestamp": 63.0, "input_length": 17, "output_length": 4,\
 "type": "text", "turn": 2, "hash_ids": [1089, 5]}
"""


@pytest.fixture
def put(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(text: str | bytes, name: str = "t") -> str:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return make


@pytest.mark.parametrize(
    ("text", "source", "arrival", "tokens", "skipped"),
    [
        (AZURE, "azure", [0, 0.052], [[4808, 3180], [10, 8]], 0),
        (AZURE_2024, "azure", [0, 0.99007, 1.49007], [[2162, 2399, 76], [5, 6, 15]], 0),
        (BURST, "burstgpt", [0, 113], [[472, 417], [18, 276]], 1),
        (BURST_2, "burstgpt", [0, 51], [[906, 36], [446, 29]], 0),
        (MOONCAKE, "mooncake", [0, 0], [[600, 512], [50, 9]], 0),
        (BAILIAN, "bailian", [0, 1.886], [[33, 17], [132, 4]], 1),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_published_formats(put, text, source, arrival, tokens, skipped, packed):
    trace = read(put(gzip.compress(text.encode()) if packed else text))
    assert trace.source == source
    assert trace.arrival == pytest.approx(arrival, abs=1e-9)
    assert [trace.input.tolist(), trace.output.tolist()] == tokens
    assert trace.skipped == skipped


def test_blocks_follow_their_requests(put):
    blocks = read(put(BAILIAN)).blocks
    assert blocks.offsets.tolist() == [0, 3, 5]
    assert blocks.ids.tolist() == [1089, 1090, 1091, 1089, 5]
    assert read(put(MOONCAKE)).block_size == 512
    assert read(put(MOONCAKE.replace("600", "20").replace("512", "16")), block_size=16).block_size == 16


@pytest.mark.parametrize("text", [AZURE, AZURE_2024, BURST, BURST_2, MOONCAKE, BAILIAN])
def test_pieces_of_any_size_are_the_whole(put, text):
    path = put(text)
    whole = read(path)
    for size in (1, 50, 130, 10**6):
        joined = concatenate(chunks(path, chunk=size))
        assert all(np.array_equal(a, b) for a, b in zip(joined[:3], whole[:3], strict=True))
        assert joined.skipped == whole.skipped
        if whole.blocks is not None:
            assert all(np.array_equal(a, b) for a, b in zip(joined.blocks, whole.blocks, strict=True))


@pytest.mark.parametrize("text", [BURST, BAILIAN, MOONCAKE])
@pytest.mark.parametrize("name", ["out", "out.gz"])
def test_round_trip(put, text, name):
    trace = read(put(text))
    write(trace, name)
    again = read(name, block_size=trace.block_size or None)
    assert again.arrival == pytest.approx(trace.arrival, abs=1e-9)
    assert np.array_equal(again.input, trace.input)
    assert np.array_equal(again.output, trace.output)
    if trace.blocks is not None:
        assert np.array_equal(again.blocks.ids, trace.blocks.ids)


def test_dates_are_those_of_the_calendar():
    rng = np.random.default_rng(4)
    texts = [datetime.fromtimestamp(int(s)).strftime("%Y-%m-%d %H:%M:%S") for s in rng.integers(0, 4e9, 300)]
    buffer = np.frombuffer("".join(texts).encode(), np.uint8)
    start = 19 * np.arange(len(texts))
    time, good = stamps(buffer, start, start + 19)
    assert good.all()
    assert np.array_equal(time // 10**9, np.array(texts, "datetime64[s]").astype(int))


def test_dates_with_zones_and_marks_of_encodings(put):
    rows = "2024-05-10T00:00:00.5Z,1,1\n2024-05-09 18:30:01-05:30,1,1\n2024-05-10 05:30:02.25+05:30,1,1\n"
    trace = read(put("\ufeffTIMESTAMP,ContextTokens,GeneratedTokens\n\n" + rows))
    assert trace.arrival == pytest.approx([0, 0.5, 1.75])


def test_sorting_keeps_equal_arrivals_as_they_came(put):
    rows = ["9,a,1,1", "2,a,2,1", "9,a,3,1", "2,a,4,1"]
    path = put("\n".join(["Timestamp,Model,Request tokens,Response tokens", *rows]))
    trace = read(path, sort=True)
    assert trace.input.tolist() == [2, 4, 1, 3]
    assert trace.arrival.tolist() == [0, 0, 7, 7]


LINE = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t: no requests; expected lines of a known format: azure (CSV with TIMESTAMP, "),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "t: no requests; expected lines of a known format"),
        ("\n\na,b\n1,2\n", "t:3: unknown format 'a,b'; known are azure (CSV with TIMESTAMP, ContextTokens, "),
        ('{"a": 1}\n', "t:1: unknown format '{\"a\": 1}'; known are azure"),
        ("TIMESTAMP,ContextTokens\n", "t:1: the header is of format azure, but lacks 'GeneratedTokens'"),
        (LINE.replace("hash_ids", "ids"), "t:1: the keys are of format mooncake, but lack 'hash_ids'"),
        (
            AZURE.replace("3180", "-3"),
            "t:3: ContextTokens is '-3'; expected a whole number of tokens, 0 or more",
        ),
        (
            AZURE.replace(",8", ",8.5"),
            "t:3: GeneratedTokens is '8.5'; expected a whole number of tokens, 0 or more",
        ),
        (
            AZURE.replace("18:17:03", "18:77:03"),
            "t:2: TIMESTAMP is '2023-11-16 18:77:03.9799600'; expected a date such as "
            "'2023-11-16 18:17:03.9799600', with a UTC offset or without",
        ),
        (
            BURST.replace("118", "later"),
            "t:4: Timestamp is 'later'; expected seconds such as '118' or '118.5'",
        ),
        (
            BURST.replace(",276", ""),
            "t:4: 5 fields, expected 6 as in the header: "
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
        ),
        (BURST.replace("GPT-4,4", '"GPT-4",4'), "t:4: a field in quotes; write fields without quotes"),
        (
            BURST.replace("118", "44"),
            "t:4: arrives 1 s before the request above; expected requests in order of arrival; "
            "sort the lines by time, or read them in Python with read(..., sort=True)",
        ),
        (
            LINE + LINE.replace("600", "6.5"),
            "t:2: input_length is 6.5; expected a whole number of tokens, 0 or more",
        ),
        (LINE + LINE.replace(" 5", " -5"), "t:2: output_length is -5; expected a whole number of tokens"),
        (
            LINE + LINE.replace("600", "1600"),
            "t:2: 2 hash_ids, but an input of 1600 tokens has 4 blocks of 512; "
            "if blocks have another size, read them in Python with read(..., block_size=...)",
        ),
        (LINE + LINE.replace("[1,", '["x",'), 't:2: hash_ids holds "x"; expected whole numbers below 2**63'),
        (LINE + LINE.replace(" 0,", " NaN,"), "t:2: timestamp is nan; expected a number of milliseconds"),
        (LINE + "\n{broken\n", "t:3: not JSON (Expecting property name"),
        (LINE + "[1]\n", "t:2: [1] is not an object; expected one object a line"),
        (
            LINE + LINE.replace("output_length", "out"),
            "t:2: no 'output_length'; format mooncake has timestamp, input_length, output_length, hash_ids",
        ),
        (
            BAILIAN.replace("161", "159"),
            "t:3: chat_id 159 is there already above; expected one line a request",
        ),
        (
            BURST.replace(",18,", ",0,").replace(",276,", ",0,"),
            "t: all of its 3 requests have an input or output of 0; expected one that has neither",
        ),
        (gzip.compress(AZURE.encode() * 99)[:60], "t: cannot be read: Compressed file ended before"),
    ],
)
def test_errors_say_place_cause_and_cure(put, text, message):
    path = put(text)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(message)
    with pytest.raises(InputError) as error:
        list(chunks(path, chunk=7))
    assert str(error.value).startswith(message)


def test_a_missing_file_is_told():
    with pytest.raises(InputError, match=r"^nowhere/t: cannot be read: No such file or directory"):
        read("nowhere/t")


def test_context():
    tokens = np.array([90, 200, 96, 300])
    trace = Trace(np.zeros(4), tokens, np.full(4, 10), None, 0, "burstgpt")
    check_context(trace, 310)
    check_context(take(trace, tokens < 100), 106)
    with pytest.raises(InputError) as error:
        check_context(trace, 106)
    assert str(error.value) == (
        "request 2 of the burstgpt trace has 200 + 10 tokens, more than the context of 106; "
        "so have 2 of 4 requests; leave them out or take a model with a longer context"
    )


def test_requests_that_are_too_long_have_a_line(tmp_path):
    path = tmp_path / "trace.csv"
    rows = ["1,20,5", "", "2,0,5", "3,20,0", "4,300,9"]
    path.write_text("\n".join(["Timestamp,Request tokens,Response tokens", *rows]) + "\n", encoding="utf-8")
    found = read(path)
    assert (found.requests, found.skipped) == (2, 2)
    with pytest.raises(InputError) as error:
        check_context(found, 106, path)
    assert str(error.value).startswith(
        f"{path}:6: the request has 300 + 9 tokens, more than the context of 106"
    )


def test_the_room_does_not_import_numba():
    code = "import sys, armillary.serving.traces; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
