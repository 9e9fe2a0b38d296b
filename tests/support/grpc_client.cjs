// The sample service by grpc-js. Arguments: address, .proto file, token. Prints one line of JSON.
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const [address, proto, token] = process.argv.slice(2);
const options = { keepCase: true, longs: Number, defaults: true };
const bank = grpc.loadPackageDefinition(loader.loadSync(proto, options)).bank.v1;
const found = {};

function metadata(more = {}) {
  const made = new grpc.Metadata();
  made.set("authorization", `Bearer ${token}`);
  made.set("funcgate-target", "ledger");
  for (const [name, value] of Object.entries(more)) made.set(name, value);
  return made;
}

const until = () => ({ deadline: Date.now() + 15000 });

function unary(client, request, more) {
  return new Promise((done) => {
    const call = client.Transfer(request, metadata(more), until(), (error, reply) => {
      done(error ? { code: error.code, details: error.details, names: Object.keys(error.metadata.getMap()) } : { ...reply, head: call.head });
    });
    call.on("metadata", (head) => { call.head = head.getMap()["funcgate-call-id"]; });
  });
}

function collect(call) {
  return new Promise((done) => {
    const numbers = [];
    call.on("data", (event) => numbers.push(event.number));
    call.on("error", (error) => done({ numbers, code: error.code }));
    call.on("end", () => done({ numbers, code: 0 }));
  });
}

async function converse(client) {
  const call = client.Chat(metadata(), until());
  const numbers = [];
  const over = new Promise((done) => { call.on("end", done); call.on("error", done); });
  call.on("data", (event) => {
    numbers.push(event.number);
    if (numbers.length < 5) call.write({ number: event.number });
    else call.end();
  });
  call.write({ number: 0 });
  await over;
  return numbers;
}

function importing(client) {
  return new Promise((done) => {
    const call = client.Import(metadata(), until(), (error, reply) => done(error ? { code: error.code } : reply));
    for (let number = 0; number < 3; number++) call.write({ number, text: `t${number}` });
    call.end();
  });
}

function cancelled(client) {
  return new Promise((done) => {
    const call = client.History({ count: 1, hold: true }, metadata(), until());
    call.on("data", () => call.cancel());
    call.on("error", (error) => done(error.code));
  });
}

async function main() {
  for (const [name, more] of [["plain", {}], ["gzip", { "grpc.default_compression_algorithm": 2 }]]) {
    const client = new bank.Ledger(address, grpc.credentials.createInsecure(), more);
    found[name] = {
      unary: await unary(client, { amount: 5, note: "n".repeat(5000), account: "a" }, { "x-raw-bin": Buffer.from([0, 255]) }),
      refused: await unary(client, { amount: 5, note: "denied" }),
      stream: await collect(client.History({ count: 4 }, metadata(), until())),
      failing: await collect(client.History({ count: 4, fail_after: 2 }, metadata(), until())),
      chat: await converse(client),
      importing: await importing(client),
      cancelled: await cancelled(client),
    };
    client.close();
  }
  console.log(JSON.stringify(found));
}

main();
