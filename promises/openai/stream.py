"""One question asked by the stock openai-python client: what comes, when, and what it cost.

Needs FAIRWEIR_BASE_URL and FAIRWEIR_API_KEY. Usage: stream.py TOKENS SEED stream|whole. Each line of the output is a JSON object: {"part": TEXT}
as it comes, at last {"text": TEXT, "cost": COINS, "pause": SECONDS} with the longest time between two parts; or {"error": CODE}.
"""

import json
import os
import sys
import time

import openai

QUESTION = "Tell me a long story about a river, a bridge and the people who built it."


def say(**words):
    print(json.dumps(words), flush=True)


def paid(extra):
    """The cost, which the gateway adds to what OpenAI's server says."""
    return (extra[0] if isinstance(extra, list) else extra)["cost"]


def main(tokens, seed, mode):
    client = openai.OpenAI(base_url=os.environ["FAIRWEIR_BASE_URL"], api_key=os.environ["FAIRWEIR_API_KEY"], max_retries=0, timeout=300)
    options = {
        "model": "SmolLM2-135M-Instruct", "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": tokens, "seed": seed, "temperature": 0.8,
    }
    if mode == "whole":
        answer = client.chat.completions.create(**options)
        return say(text=answer.choices[0].message.content, cost=paid(answer.model_extra["fairweir"]), pause=0)
    text, cost, pause, last = "", None, 0, None
    for chunk in client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}):
        new = "".join(choice.delta.content or "" for choice in chunk.choices)
        if new:
            now = time.monotonic()
            pause, last = max(pause, now - (last or now)), now
            text += new
            say(part=new)
        if (chunk.model_extra or {}).get("fairweir"):
            cost = paid(chunk.model_extra["fairweir"])
    say(text=text, cost=cost, pause=round(pause, 2))


try:
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
except openai.APIError as error:
    say(error=error.code or type(error).__name__, message=str(error))
