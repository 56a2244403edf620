"""The stock openai-python client against a running gateway. Prints its figure last; needs FAIRWEIR_BASE_URL and FAIRWEIR_API_KEY.

FAIRWEIR_LIMITED_KEY is a key with few requests a minute; without it that check is left out. FAIRWEIR_CHAT_MODEL and
FAIRWEIR_EMBEDDING_MODEL name the models; without them the first that can be used are taken.
"""

import concurrent.futures
import json
import math
import os
import sys
import time
import urllib.request

import openai

URL = os.environ["FAIRWEIR_BASE_URL"]
KEY = os.environ["FAIRWEIR_API_KEY"]
CLIENT = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=300)
QUESTION = [{"role": "user", "content": "Name three colours."}]
DONE = []


def require(holds, message):
    if not holds:
        print(f"broken: {message}")
        sys.exit(1)


def refused(kind, code, ask, status):
    """The client raises the error that OpenAI's own server would make it raise."""
    try:
        ask()
    except kind as error:
        require(error.status_code == status, f"status {error.status_code}, not {status}")
        require(error.code == code, f"code {error.code}, not {code}")
        return error
    require(False, f"{code} was not raised")


def models():
    listed = [model.id for model in CLIENT.models.list()]
    require(listed, "no model is offered")
    chat, embedding = os.environ.get("FAIRWEIR_CHAT_MODEL"), os.environ.get("FAIRWEIR_EMBEDDING_MODEL")
    for name in listed:
        require(CLIENT.models.retrieve(name).id == name, f"model {name} is not found by its name")
        try:
            CLIENT.embeddings.create(model=name, input="x", encoding_format="float")
            embedding = embedding or name
        except openai.BadRequestError:
            chat = chat or name
    require(chat, "no chat model is offered")
    return chat, embedding


def ask(model, **extra):
    options = {"messages": QUESTION, "max_tokens": 24, "seed": 7, "temperature": 0.8, **extra}
    return CLIENT.chat.completions.create(model=model, **options)


def text_of(stream):
    """The text of a stream, its end and what was used."""
    text, finish, usage = "", None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage


def chat(model):
    answer = ask(model)
    choice = answer.choices[0]
    require(choice.message.role == "assistant" and choice.message.content, "there is no answer")
    require(choice.finish_reason in ("stop", "length"), "there is no reason to end")
    used = answer.usage
    require(used.total_tokens == used.prompt_tokens + used.completion_tokens, "usage does not add up")
    require(answer.model_extra["fairweir"]["receipt"], "there is no receipt")
    again = ask(model).choices[0].message.content
    require(again == choice.message.content, "equal seeds give other texts")
    streamed, finish, usage = text_of(ask(model, stream=True, stream_options={"include_usage": True}))
    require(streamed == choice.message.content, "the stream says something else")
    require(finish == choice.finish_reason, "the stream ends otherwise")
    require(usage.completion_tokens == used.completion_tokens, "the stream used something else")
    others = ask(model, n=2).choices
    require(others[0].message.content == choice.message.content, "the first of two choices differs")
    DONE.extend(["chat", "seed", "stream with usage", "n"])
    return choice.message.content


def logprobs(model):
    content = ask(model, logprobs=True, top_logprobs=3, temperature=0).choices[0].logprobs.content
    require(content and all(len(token.top_logprobs) == 3 for token in content), "logprobs are missing")
    require(all(token.logprob <= 1e-6 for token in content), "a probability is above one")
    best = [token.top_logprobs[0].token == token.token for token in content]
    require(all(best), "at temperature 0 a token is not the likeliest")
    echo = CLIENT.completions.create(model=model, prompt="The sky is", max_tokens=4, temperature=0, echo=True, logprobs=2)
    told = echo.choices[0]
    require(told.text.startswith("The sky is"), "the prompt does not come back")
    require(told.logprobs.token_logprobs[0] is None, "the first token has a probability")
    require(len(told.logprobs.tokens) == len(told.logprobs.token_logprobs), "lists have other lengths")
    DONE.extend(["logprobs", "completion with echo"])


def stop(model, whole):
    middle = whole[len(whole) // 3 :][:3]
    answer = ask(model, stop=[middle]).choices[0]
    require(answer.message.content == whole[: whole.find(middle)], "the answer does not end before the stop text")
    require(answer.finish_reason == "stop", "the stop is not its reason")
    DONE.append("stop")


def json_mode(model):
    answer = ask(model, response_format={"type": "json_object"}, max_tokens=200)
    if answer.choices[0].finish_reason == "stop":
        require(isinstance(json.loads(answer.choices[0].message.content), dict), "it is no JSON object")
    DONE.append("JSON mode")


def embeddings(model):
    texts = ["a cat sits on a mat", "a kitten on a rug", "interest rates rose"]
    numbers = CLIENT.embeddings.create(model=model, input=texts, encoding_format="float").data
    coded = CLIENT.embeddings.create(model=model, input=texts).data
    for one, other in zip(numbers, coded):
        require(max(abs(a - b) for a, b in zip(one.embedding, other.embedding)) < 1e-7, "base64 says something else")
        require(abs(math.hypot(*one.embedding) - 1) < 1e-4, "a vector has not length 1")
    dot = lambda a, b: sum(x * y for x, y in zip(numbers[a].embedding, numbers[b].embedding))
    require(dot(0, 1) > dot(0, 2), "cats are closer to interest rates than to kittens")
    DONE.extend(["embeddings as numbers", "embeddings as base64"])


def errors(model):
    wrong = openai.OpenAI(base_url=URL, api_key="fw-wrong", max_retries=0)
    refused(openai.AuthenticationError, "invalid_api_key", lambda: wrong.models.list(), 401)
    refused(openai.NotFoundError, "model_not_found", lambda: ask("no-such-model"), 404)
    long = [{"role": "user", "content": "word " * 60_000}]
    for stream in (False, True):
        error = refused(openai.BadRequestError, "context_length_exceeded", lambda: ask(model, messages=long, stream=stream), 400)
        require(error.param == "messages", f"the parameter is {error.param}")
    refused(openai.BadRequestError, "decimal_above_max_value", lambda: ask(model, temperature=3), 400)
    DONE.extend(["wrong key 401", "unknown model 404", "oversize prompt 400"])
    limited = os.environ.get("FAIRWEIR_LIMITED_KEY")
    if limited:
        client = openai.OpenAI(base_url=URL, api_key=limited, max_retries=0)

        def many():
            for _ in range(64):
                client.chat.completions.create(model=model, messages=QUESTION, max_tokens=1)

        refused(openai.RateLimitError, "rate_limit_exceeded", many, 429)
        DONE.append("too many requests 429")


def together(model, count=32):
    """Streams at the same time say what the same requests say alone."""

    def one(index):
        messages = [{"role": "user", "content": f"Tell me about the number {index}."}]
        return text_of(ask(model, messages=messages, seed=index, max_tokens=16, stream=True))[0]

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        texts = list(pool.map(one, range(count)))
    alone = [one(index) for index in range(count)]
    require(texts == alone, "answers differ when they are asked together")
    DONE.append(f"{count} streams together as alone")


def running():
    health = URL.rstrip("/").removesuffix("/v1") + "/health"
    with urllib.request.urlopen(health, timeout=10) as answer:
        return json.load(answer)["running"]


def until(holds, within):
    begun = time.monotonic()
    while not holds():
        require(time.monotonic() - begun < within, f"it took more than {within} s")
        time.sleep(0.01)
    return time.monotonic() - begun


def hang_up(model):
    until(lambda: running() == 0, 60)
    stream = ask(model, messages=[{"role": "user", "content": "Count from one to five hundred in words."}], max_tokens=1_000,
                 temperature=0, stream=True, logit_bias={})
    next(iter(stream))
    require(running() == 1, "the answer does not run")
    stream.close()
    took = until(lambda: running() == 0, 1)
    DONE.append(f"a hang-up frees the slot in {took * 1000:.0f} ms")


def main():
    chat_model, embedding_model = models()
    whole = chat(chat_model)
    logprobs(chat_model)
    stop(chat_model, whole)
    json_mode(chat_model)
    if embedding_model:
        embeddings(embedding_model)
    errors(chat_model)
    together(chat_model)
    hang_up(chat_model)
    print(f"openai-python {openai.__version__}: {len(DONE)} checks hold: " + ", ".join(DONE))


main()
