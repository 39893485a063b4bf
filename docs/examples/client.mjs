// Asks a feilun API with nothing but Node 18 or newer: labels and feedback.
//
//   FEILUN_URL=http://127.0.0.1:8000 FEILUN_KEY=fl_... FEILUN_MODEL=reviews node client.mjs

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const { FEILUN_URL, FEILUN_KEY, FEILUN_MODEL = "reviews" } = process.env;

/** Sends `body`. One key for all tries: the server answers and charges the call once. */
async function call(path, body, tries = 5) {
  const headers = {
    "Authorization": `Bearer ${FEILUN_KEY}`,
    "Content-Type": "application/json",
    "Idempotency-Key": randomUUID(),
  };
  for (let left = tries - 1; ; left--) {
    let pause = 1;
    try {
      const response = await fetch(FEILUN_URL + path, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(60_000),
      });
      const said = await response.json();
      if (response.ok) return said;
      const { code, message } = said.error;
      const failure = new Error(`${response.status} ${code}: ${message}`);
      failure.final = ![429, 503].includes(response.status);
      pause = Number(response.headers.get("retry-after") ?? 1);
      throw failure;
    } catch (error) {
      if (error.final || left === 0) throw error;
    }
    await sleep(1000 * (pause + Math.random() / 2));
  }
}

const given = process.argv.slice(2);
const texts = given.length ? given : ["works well", "arrived broken"];
try {
  const answer = await call("/v1/predict", { model: FEILUN_MODEL, inputs: texts });
  answer.outputs.forEach(({ label, score }, index) =>
    console.log(`${answer.model}  ${label}  ${score.toFixed(2)}  ${texts[index]}`),
  );
  const { label } = answer.outputs[0]; // here: it was right
  await call("/v1/feedback", { prediction_id: answer.id, index: 0, label });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
