"""A crowd of stock openai-python clients: asks a list of questions again and again, and says for each request what came and what it cost.

Needs FAIRWEIR_BASE_URL and FAIRWEIR_API_KEY. Usage: crowd.py REQUESTS AT_A_TIME [AGAIN], where each request is tried again so often when the server
is not there; by default not at all. Each line of the output is a JSON object: the question's
number, the answer's digest, the receipt's id, and the cost; or the error.
"""

import asyncio
import hashlib
import json
import os
import sys

import openai

CHAT, EMBEDDING = "SmolLM2-135M-Instruct", "all-MiniLM-L6-v2"
SUBJECTS = ("rivers", "bread", "chess", "bees", "tides", "glass", "trains", "the moon", "wool", "salt")
# One in eight is a conversation; of these every other one is streamed.
CHATS = [(number, subject) for number, subject in enumerate(SUBJECTS)]


def paid(answer):
    """The receipt's id and the cost, which the gateway adds to what OpenAI's server says."""
    extra = answer.model_extra["fairweir"]
    extra = extra[0] if isinstance(extra, list) else extra
    return extra["receipt"], extra["cost"]


async def chat(client, number, subject):
    question = [{"role": "user", "content": f"Say one thing about {subject}."}]
    options = {"model": CHAT, "messages": question, "max_tokens": 24, "temperature": 0}
    if number % 2:
        answer = await client.chat.completions.create(**options)
        return answer.choices[0].message.content, *paid(answer)
    text, last = "", None
    async for chunk in await client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        last = chunk if (chunk.model_extra or {}).get("fairweir") else last
    return text, *paid(last)


async def embed(client, number):
    text = f"{SUBJECTS[number % len(SUBJECTS)]} and {SUBJECTS[number // 10 % len(SUBJECTS)]}"
    answer = await client.embeddings.create(model=EMBEDDING, input=text)
    return answer.data[0].embedding, *paid(answer)


async def one(client, number, again):
    which = number // 8 % len(SUBJECTS) if number % 8 == 0 else 100 + number % 100
    try:
        answer, receipt, cost = await (chat(client, *CHATS[which]) if which < 100 else embed(client, which - 100))
    except Exception as error:  # whatever a client may see is reported
        if again > 0:
            # The client tries again by itself what was not answered, but not a stream that broke off.
            await asyncio.sleep(1)
            return await one(client, number, again - 1)
        return {"question": which, "error": f"{type(error).__name__}: {error}"}
    return {"question": which, "answer": hashlib.sha256(json.dumps(answer).encode()).hexdigest(), "receipt": receipt, "cost": cost}


async def main(requests, at_a_time, again=0):
    client = openai.AsyncOpenAI(base_url=os.environ["FAIRWEIR_BASE_URL"], api_key=os.environ["FAIRWEIR_API_KEY"], max_retries=again, timeout=300)
    numbers = iter(range(requests))

    async def ask():
        for number in numbers:
            print(json.dumps(await one(client, number, again)), flush=True)

    await asyncio.gather(*(ask() for _ in range(at_a_time)))


asyncio.run(main(*map(int, sys.argv[1:])))
