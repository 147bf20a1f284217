// What both Node.js servers share: the query, the schedule, the payload, and the way to listen.

import { once } from "node:events";
import http from "node:http";
import process from "node:process";

// CLOCK_MONOTONIC, as Python's time.monotonic_ns().
const nowNs = () => Number(process.hrtime.bigint());

const END = { ended: true, message: "" };

const FLAGS = new Map([["0", false], ["1", true], ["false", false], ["true", true]]);

// What a parameter accepts, in words, and how its text is read: undefined where it is none.
const WHOLE = {
  accepted: `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`,
  read: (text) => (/^[0-9]+$/.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER ? Number(text) : undefined),
};
const RATE = {
  accepted: "0 or a number from 0.001 to 1e+09 tokens per second",
  read: (text) => {
    const rate = /^[0-9.e+-]+$/i.test(text) ? Number(text) : NaN;
    return rate === 0 || (rate >= 0.001 && rate <= 1e9) ? rate : undefined;
  },
};
const FLAG = { accepted: "0, 1, false or true", read: (text) => FLAGS.get(text) };

function valueOf(query, name, { accepted, read }, otherwise) {
  const text = query.get(name);
  if (text === null) {
    return otherwise;
  }
  const value = read(text);
  if (value === undefined) {
    throw new RangeError(`${name} must be ${accepted}; got ${JSON.stringify(text.slice(0, 80))}`);
  }
  return value;
}

function asked(text) {
  const query = new URLSearchParams(text);
  const count = valueOf(query, "count", WHOLE, 10);
  const hangAfter = valueOf(query, "hang_after", WHOLE, null);
  return {
    count: hangAfter === null ? count : Math.min(count, hangAfter),
    rate: valueOf(query, "rate", RATE, 0),
    trace: valueOf(query, "trace", FLAG, false),
    hangs: hangAfter !== null,
  };
}

function payload(index, dueNs, trace) {
  const fields = { ended: false, message: String(index) };
  return trace ? { ...fields, seq: index, due_ns: dueNs, emitted_ns: nowNs() } : fields;
}

async function due(startNs, index, rate) {
  const dueNs = startNs + Math.round((index * 1e9) / rate);
  const aheadNs = dueNs - nowNs();
  if (aheadNs > 0) {
    // A timer of Node has whole milliseconds; rounded up, so that no token leaves before it is due.
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(aheadNs / 1e6)));
  }
  return dueNs;
}

// Calls `send(index, payload)` for each token, and waits when the response says that it is full.
async function stream({ count, rate, trace }, response, gone, send) {
  const startNs = nowNs();
  for (let index = 0; index < count && !gone.aborted; index += 1) {
    const dueNs = rate ? await due(startNs, index, rate) : nowNs();
    if (gone.aborted) {
      return;
    }
    send(index, payload(index, dueNs, trace));
    if (response.writableNeedDrain) {
      await once(response, "drain", { signal: gone }).catch(() => {});
    }
  }
}

function refuse(response, error) {
  response.writeHead(400, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ error: { message: error.message, type: "invalid_request_error" } }));
}

async function answer(open, wanted, request, response) {
  const leaving = new AbortController();
  response.on("close", () => leaving.abort());
  const send = await open(request, response);
  await stream(wanted, response, leaving.signal, send);
  if (!wanted.hangs && !leaving.signal.aborted) {
    send("end", END);
    response.end();
  }
}

// `open(request, response)` begins the answer and returns what sends one event: (index, payload) => void.
export function serve(open) {
  const server = http.createServer(async (request, response) => {
    const [path, ...query] = request.url.split("?");
    if (path !== "/stream") {
      response.writeHead(404).end();
      return;
    }
    let wanted;
    try {
      wanted = asked(query.join("?"));
    } catch (error) {
      refuse(response, error);
      return;
    }
    await answer(open, wanted, request, response);
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog: 2048 }, () => {
    process.stderr.write(`http://127.0.0.1:${server.address().port}/\n`);
  });
}
