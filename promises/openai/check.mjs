// The stock openai-js client against a running gateway. Prints its figure last; needs FAIRWEIR_BASE_URL and FAIRWEIR_API_KEY,
// and takes FAIRWEIR_LIMITED_KEY, FAIRWEIR_CHAT_MODEL and FAIRWEIR_EMBEDDING_MODEL as check.py does.

import OpenAI from "openai";

const baseURL = process.env.FAIRWEIR_BASE_URL;
const client = new OpenAI({ baseURL, apiKey: process.env.FAIRWEIR_API_KEY, maxRetries: 0 });
const question = [{ role: "user", content: "Name three colours." }];
const done = [];

function need(holds, message) {
  if (!holds) {
    console.log(`broken: ${message}`);
    process.exit(1);
  }
}

async function refused(kind, code, status, ask) {
  try {
    await ask();
  } catch (error) {
    need(error instanceof kind, `${error} is no ${kind.name}`);
    need(error.status === status && error.code === code, `${error.status} ${error.code}, not ${status} ${code}`);
    done.push(`${code} ${status}`);
    return;
  }
  need(false, `${code} was not raised`);
}

const ask = (model, extra = {}) =>
  client.chat.completions.create({ model, messages: question, max_tokens: 24, seed: 7, temperature: 0.8, ...extra });

async function textOf(stream) {
  let text = "", finish = null, usage = null;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      finish = choice.finish_reason ?? finish;
    }
  }
  return { text, finish, usage };
}

async function models() {
  let chat = process.env.FAIRWEIR_CHAT_MODEL, embedding = process.env.FAIRWEIR_EMBEDDING_MODEL;
  for await (const { id } of client.models.list()) {
    try {
      await client.embeddings.create({ model: id, input: "x" });
      embedding ??= id;
    } catch (error) {
      need(error instanceof OpenAI.BadRequestError, `${error}`);
      chat ??= id;
    }
  }
  need(chat, "no chat model is offered");
  return { chat, embedding };
}

async function answers(model) {
  const whole = await ask(model);
  const text = whole.choices[0].message.content;
  need(text, "there is no answer");
  need((await ask(model)).choices[0].message.content === text, "equal seeds give other texts");
  const streamed = await textOf(await ask(model, { stream: true, stream_options: { include_usage: true } }));
  need(streamed.text === text, "the stream says something else");
  need(streamed.finish === whole.choices[0].finish_reason, "the stream ends otherwise");
  need(streamed.usage.total_tokens === whole.usage.total_tokens, "the stream used something else");
  const likely = await ask(model, { logprobs: true, top_logprobs: 2, temperature: 0 });
  need(likely.choices[0].logprobs.content.every((token) => token.top_logprobs.length === 2), "logprobs are missing");
  const middle = text.slice(Math.floor(text.length / 3)).slice(0, 3);
  const stopped = (await ask(model, { stop: middle })).choices[0];
  need(stopped.message.content === text.slice(0, text.indexOf(middle)), "it does not end before the stop text");
  const helper = client.chat.completions.stream({ model, messages: question, max_tokens: 24, seed: 7, temperature: 0.8 });
  need((await helper.finalContent()) === text, "the stream helper says something else");
  done.push("chat", "seed", "stream with usage", "logprobs", "stop", "stream helper");
}

async function embeddings(model) {
  const input = ["a cat sits on a mat", "interest rates rose"];
  const numbers = await client.embeddings.create({ model, input, encoding_format: "float" });
  const coded = await client.embeddings.create({ model, input });
  const far = numbers.data.some((one, at) => one.embedding.some((x, i) => Math.abs(x - coded.data[at].embedding[i]) > 1e-7));
  need(!far, "base64 says something else");
  done.push("embeddings as numbers", "embeddings as base64");
}

async function errors(model) {
  const wrong = new OpenAI({ baseURL, apiKey: "fw-wrong", maxRetries: 0 });
  await refused(OpenAI.AuthenticationError, "invalid_api_key", 401, () => wrong.models.list());
  await refused(OpenAI.NotFoundError, "model_not_found", 404, () => ask("no-such-model"));
  const messages = [{ role: "user", content: "word ".repeat(60_000) }];
  await refused(OpenAI.BadRequestError, "context_length_exceeded", 400, () => ask(model, { messages }));
  const limited = process.env.FAIRWEIR_LIMITED_KEY;
  if (limited) {
    const few = new OpenAI({ baseURL, apiKey: limited, maxRetries: 0 });
    await refused(OpenAI.RateLimitError, "rate_limit_exceeded", 429, async () => {
      for (let count = 0; count < 64; count++) {
        await few.chat.completions.create({ model, messages: question, max_tokens: 1 });
      }
    });
  }
}

async function together(model, count = 32) {
  const one = async (index) => {
    const messages = [{ role: "user", content: `Tell me about the number ${index}.` }];
    return (await textOf(await ask(model, { messages, seed: index, max_tokens: 16, stream: true }))).text;
  };
  const texts = await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  for (let index = 0; index < count; index++) {
    need((await one(index)) === texts[index], "answers differ when they are asked together");
  }
  done.push(`${count} streams together as alone`);
}

async function hangUp(model) {
  const health = baseURL.replace(/\/v1\/?$/, "/health");
  const running = async () => (await (await fetch(health)).json()).running;
  const messages = [{ role: "user", content: "Count from one to five hundred in words." }];
  const stream = await ask(model, { messages, max_tokens: 1_000, temperature: 0, stream: true });
  for await (const _ of stream) break; // leaving the loop hangs up
  const begun = performance.now();
  while ((await running()) > 0) need(performance.now() - begun < 1_000, "a hang-up does not free the slot in a second");
  done.push(`a hang-up frees the slot in ${Math.round(performance.now() - begun)} ms`);
}

const { chat, embedding } = await models();
await answers(chat);
if (embedding) await embeddings(embedding);
await errors(chat);
await together(chat);
await hangUp(chat);
console.log(`openai-js: ${done.length} checks hold: ${done.join(", ")}`);
