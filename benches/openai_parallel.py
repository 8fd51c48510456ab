#!/usr/bin/env python3
"""Tokens per second of one greedy client, and of several at once, on a running `logitree serve`.

  logitree serve -m gemma-3-270m --port 7878     # in another terminal; it prints the link
  benches/openai_parallel.py LINK [--clients 8] [--tokens 64] [--rounds 3]

One and many take turns, so that what else the machine does befalls both. Every text is a new one, as answers are remembered for a while.
Needs nothing but Python.
"""
import argparse, http.client, json, statistics, threading, time, urllib.parse

STARTS = ["The capital of India is", "Once upon a time", "To sort a list of numbers", "The weather in spring", "A good breakfast",
          "In the year 1969", "The secret to happiness is", "Rivers of Europe:"]


def ask(link, prompt, tokens):
    url = urllib.parse.urlsplit(link)
    token = urllib.parse.parse_qs(url.query)["token"][0]
    connection = http.client.HTTPConnection(url.netloc, timeout=600)
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(answer.read().decode())
    lines = answer.read().splitlines()
    assert b"data: [DONE]" in lines, "the stream broke off"


def together(link, prompts, tokens):
    threads = [threading.Thread(target=ask, args=(link, p, tokens)) for p in prompts]
    started = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return len(prompts) * tokens / (time.monotonic() - started)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("link")
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    one, many = [], []
    for round in range(a.rounds):
        stamp = time.time_ns()
        prompts = [f"{stamp + i}. {STARTS[i % len(STARTS)]}" for i in range(a.clients + 1)]
        one.append(together(a.link, prompts[:1], a.tokens))
        many.append(together(a.link, prompts[1:], a.tokens))
    show = lambda r: f"{statistics.median(r):.0f} ({min(r):.0f}-{max(r):.0f})"
    print(f"1 client: {show(one)} tokens/s; {a.clients} clients: {show(many)} tokens/s together; "
          f"ratio {statistics.median(many) / statistics.median(one):.2f}")


main()
