// Stands beside a Worker's modules: gives a class one more method, which lets whoever may ask look into its objects.
// The class itself stays what it is: no subclass, which would break private statics and `this.constructor`.
import { DurableObject } from "cloudflare:workers";
import { MOST_COLUMNS, OF_USERS, digestOf, load, loadKeys, packed, pairsOf, quoted, read, shapeOf, unkeyed, unpacked, written } from "./contents.js";
import { Done, Refusal, Unsendable, decode, drained, encode, encodeThrown } from "./wire.js";

const OWN = "__notebook_do_";
const HANDLERS = ["fetch", "connect", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"];
// What no call by RPC reaches, with workerd as well.
const RESERVED = new Set(["constructor", "dup", "id", "name", ...HANDLERS]);
const reserved = (name) => RESERVED.has(name) || name.startsWith(OWN);

const ours = new WeakSet(); // the methods that were added
const made = new WeakMap(); // a class without RPC -> what stands in for it
const contexts = new WeakMap(); // an object of such a class -> its `ctx`
const born = new WeakMap();

// Adds the method `name`, or for a class without RPC the header `x-notebook-do: name` of a request, and returns the class
// to export. `admit(object, ctx, asked)` gives the answer, or a promise of it, for who may not ask, else nothing. A class
// that cannot take it is returned as it is: to look at objects is never a reason why a Worker does not start.
export function inspectable(Base, { name, admit = () => undefined }) {
  if (typeof Base !== "function") return Base;
  if (Base.prototype instanceof DurableObject) {
    extend(Base.prototype, name, admit);
    return Base;
  }
  // Nothing reaches the objects of a class without methods; as a proxy it would no longer look like a class.
  if (methodsOf({ __proto__: Base.prototype }).length === 0 && typeof Base.prototype?.fetch !== "function") return Base;
  if (!made.has(Base)) made.set(Base, standIn(Base, name, admit));
  return made.get(Base);
}

function extend(prototype, name, admit) {
  if (name in prototype) return; // exported under two names, or derived from a class that has it, or a user's own
  const value = function (asked) {
    return answer(this, this.ctx, asked, admit);
  };
  ours.add(value);
  Reflect.defineProperty(prototype, name, { value, configurable: true }); // false for a frozen one
}

// An object without RPC is reached by `fetch` alone, and only whoever constructs it sees its `ctx`.
function standIn(Base, name, admit) {
  const stand = new Proxy(Base, {
    construct(target, args, newTarget) {
      const object = Reflect.construct(target, args, newTarget === stand ? target : newTarget);
      contexts.set(object, args[0]);
      const { fetch } = object;
      if (typeof fetch !== "function") return object;
      const value = async (request) => {
        if (request.headers.get("x-notebook-do") !== name) return fetch.call(object, request);
        return new Response(await answer(object, contexts.get(object), await request.json(), admit));
      };
      Reflect.defineProperty(object, "fetch", { value, configurable: true, writable: true });
      return object;
    },
  });
  return stand;
}

// Returns JSON text: {"ok": value}, {"error": what the user's code threw}, {"absent": methods that there are, not the one
// that was called}, or {"refused": text, "done": whether it was done all the same}.
async function answer(object, ctx, asked, admit) {
  if (!born.has(object)) born.set(object, new Date());
  try {
    const refused = await admit(object, ctx, asked);
    if (refused !== undefined) return JSON.stringify(refused);
    const { op, ...more } = JSON.parse(asked.text);
    if (!Object.hasOwn(OPS, op)) throw new Refusal(`${op}: this object does not know how to do that`);
    const value = await (more.expect === undefined ? done(op, ctx, more, object) : unmoved(op, ctx, more, object));
    return `{"ok":${await after(() => encode(value))}}`;
  } catch (thrown) {
    if (thrown instanceof Thrown) return `{"error":${encodeThrown(thrown.cause)}}`;
    if (thrown instanceof Absent) return JSON.stringify({ absent: methodsOf(object) });
    const refused = thrown instanceof Refusal ? thrown.message : `${thrown?.name}: ${thrown?.message}`;
    return JSON.stringify({ refused, done: thrown instanceof Done });
  }
}

// Runs what follows when something is committed: whatever fails in it, that is done.
async function after(step) {
  try {
    return await step();
  } catch (error) {
    throw error instanceof Done ? error : new Done(error instanceof Refusal ? error.message : `${error?.name}: ${error?.message}`);
  }
}

const done = (op, ctx, more, object) => OPS[op](op === "call" ? ctx : contextOf(ctx), more, object);

// Does something only if what it rests on (`checks`) is as it was when somebody decided on it (`expect`).
async function unmoved(op, ctx, more, object) {
  let result;
  // Nothing else is delivered to the object meanwhile, so that no write comes between. What is thrown out of it would end
  // the object; and a handler of the user's may wait for what is not delivered.
  await contextOf(ctx).blockConcurrencyWhile(async () => {
    try {
      const still = await checked(ctx, more);
      result = { value: op === "ring" ? undefined : await done(op, ctx, { ...more, still }, object) };
    } catch (error) {
      result = { error };
    }
  });
  if ("error" in result) throw result.error;
  return op === "ring" ? done(op, ctx, more, object) : result.value;
}

// Compares, and returns what compares once more without waiting for anything: to be called in the transaction itself. Of
// storage without SQL all is told by promises, so that there the first time is the only one.
async function checked(ctx, { checks, expect }) {
  const sql = sqlOf(ctx);
  const alarm = await ctx.storage.getAlarm();
  const was = await Promise.all(checks.map((check) => heldOf(ctx, sql, check, alarm))).catch(before);
  const now = await Promise.all(was.map((text, at) => told(checks[at], text)));
  if (now.some((text, at) => text !== expect[at])) throw new Refusal("moved");
  return () => {
    if (sql === null) return;
    let moved;
    try {
      moved = checks.some((check, at) => heldAtOnce(ctx, sql, check, alarm) !== was[at]);
    } catch (error) {
      before(error);
    }
    if (moved) throw new Refusal("moved");
  };
}

// What is compared has no form outside of the object: nothing was done yet.
function before(error) {
  throw error instanceof Done ? new Refusal(error.message) : error;
}

// What a change rests on, as texts that are equal where it is: the value of a key, the alarm, selected rows, all keys, all
// that is stored, or how many rows this object has written since it is awake, its keys and its alarm among them.
async function heldOf(ctx, sql, check, alarm) {
  if (sql !== null || check.alarm || check.sql) return heldAtOnce(ctx, sql, check, alarm);
  if (check.key !== undefined) return encode(await ctx.storage.get(check.key));
  const pairs = await pairsOf(ctx, sql);
  return check.keys ? JSON.stringify([...pairs.keys()]) : written(sql, pairs, alarm).text;
}

function heldAtOnce(ctx, sql, { alarm, key, keys, all, writes, sql: text, params }, at) {
  if (alarm) return String(at);
  if (writes) return JSON.stringify(needed(ctx).exec("SELECT total_changes() AS n").one().n);
  if (text !== undefined) return encode([...needed(ctx).exec(text, ...params.map(decode)).raw()]);
  if (key !== undefined) return encode(ctx.storage.kv.get(key));
  if (keys) return JSON.stringify([...ctx.storage.kv.list()].map(([one]) => one));
  return written(sql, ctx.storage.kv.list(), at).text;
}

const told = ({ all, keys }, text) => (all || keys ? digestOf(text) : text);

// What the user's own code threw, as `cause`, and that there is no such method.
class Thrown extends Error {}
class Absent extends Error {}

async function theirs(run, request) {
  try {
    return await run();
  } catch (cause) {
    // Caught here, it is no exception of the event that whoever takes the events gets: the last line says that it was.
    if (request !== undefined) console.debug(OWN, request, JSON.parse(encodeThrown(cause)));
    throw new Thrown("", { cause });
  }
}

function contextOf(ctx) {
  if (typeof ctx?.storage?.get !== "function") {
    throw new Refusal("this class keeps something else in `this.ctx`, so that its objects cannot be looked into");
  }
  return ctx;
}

function methodsOf(object) {
  const names = new Set();
  for (let at = Object.getPrototypeOf(object); at && at !== DurableObject.prototype && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      if (!reserved(name) && typeof Object.getOwnPropertyDescriptor(at, name).value === "function") names.add(name);
    }
  }
  return [...names];
}

const MOST_ROWS = 100_000;

// --- what can be asked, beside calls. `ctx` is the object's own.

const OPS = {
  // As RPC does: only what the class has, and never what only this object has.
  async call(_, { method, args, request }, object) {
    // The first line of what this request logs: whoever takes the events finds the request by it, and takes it away.
    if (request !== undefined) console.debug(OWN, request, method);
    const found = reserved(method) || Object.hasOwn(object, method) ? undefined : object[method];
    if (typeof found !== "function" || found === Object.prototype[method]) throw new Absent();
    const given = args.map(decode); // before the call: what cannot be read is no error of the user's
    return drained(await theirs(() => found.apply(object, given), request));
  },

  async info(ctx, _, object) {
    const sql = sqlOf(ctx);
    return {
      id: ctx.id.toString(),
      name: ctx.id.name ?? null,
      class: object.constructor.name,
      sql: sql !== null,
      bytes: sql === null ? null : sql.databaseSize,
      alarm: await alarmOf(ctx),
      tables: sql === null ? [] : tablesOf(sql).map(({ name }) => name),
      sockets: ctx.getWebSockets().map((one) => ({ tags: ctx.getTags(one), attachment: one.deserializeAttachment(), state: one.readyState })),
      methods: methodsOf(object),
      born: born.get(object),
    };
  },

  list: (ctx, { prefix, after, reverse, limit = 1000 }) =>
    ctx.storage.list({
      ...(prefix !== undefined && { prefix }),
      ...(after !== undefined && { startAfter: after }),
      reverse: !!reverse,
      limit,
    }),

  get: (ctx, { key }) => ctx.storage.get(key),

  put: (ctx, { key, value, still }) => inOne(ctx, still, () => ctx.storage.put(key, decode(value))),

  delete: (ctx, { key, still }) => inOne(ctx, still, () => ctx.storage.delete(key)),

  // Run, and rolled back whatever it is: what a statement does cannot be told from its text.
  select(ctx, { sql: text, params = [], most = MOST_ROWS }) {
    const sql = needed(ctx);
    const given = params.map(decode);
    return undone(ctx, () => {
      // To its end: workerd gives up an object in which a cursor is open when what it reads is undone.
      const found = rowsOf(sql.exec(text, ...given), most);
      if (found.written > 0 || found.columns.length === 0) throw new Refusal(NO_READ);
      return exactly(sql, text, found.columns, given, most) ?? found;
    });
  },

  // What one statement would change, row by row. It is run and undone; every table is read before and after it.
  try(ctx, { sql: text, params = [] }) {
    const sql = needed(ctx);
    return undone(ctx, () => {
      const before = contentsOf(sql);
      const { columns, written } = rowsOf(sql.exec(text, ...params.map(decode)), MOST_ROWS);
      const count = sql.exec("SELECT changes() AS n").one().n;
      const after = contentsOf(sql);
      const schema = schemaChanges(before, after);
      if (columns.length > 0 && written === 0 && schema.length === 0) throw new Refusal("this statement changes nothing; read with query");
      return { count, schema, changes: [...after.tables.values()].flatMap((table) => rowChanges(before.tables.get(table.name), table)) };
    });
  },

  // The tables as a person reads them: columns with their types, how many rows, and the newest of them.
  shapes(ctx, { most }) {
    const sql = sqlOf(ctx);
    if (sql === null) return [];
    return tablesOf(sql).map(({ name }) => {
      const { columns, key, byRowid } = shapeOf(sql, name);
      const [rows] = sql.exec(`SELECT count(*) FROM ${quoted(name)}`).raw().next().value;
      const order = byRowid ? ` ORDER BY ${key[0]} DESC` : "";
      const names = columns.map(([column]) => column);
      const text = `SELECT ${names.map(quoted)} FROM ${quoted(name)}${order} LIMIT ${most}`;
      const first = exactly(sql, text, names, [], most) ?? rowsOf(sql.exec(text), most);
      return { name, columns, rows: first.rows, kinds: first.kinds, count: rows, newest: byRowid };
    });
  },

  // `count` is how many rows the statement is to change; where it would be others, nothing is done.
  change: (ctx, { sql: text, params = [], count, still }) => {
    const sql = needed(ctx);
    return ctx.storage.transactionSync(() => {
      still?.();
      const found = rowsOf(sql.exec(text, ...params.map(decode)), MOST_ROWS);
      if (count !== undefined && sql.exec("SELECT changes() AS n").one().n !== count) throw new Refusal("moved");
      return found;
    });
  },

  async seen(ctx, { checks }) {
    const sql = sqlOf(ctx);
    const alarm = await ctx.storage.getAlarm();
    return Promise.all(checks.map(async (check) => told(check, await heldOf(ctx, sql, check, alarm))));
  },

  // How much is stored, and a digest of all of it; with `whole` all of it too, if it can be put back.
  async contents(ctx, { whole }) {
    const sql = sqlOf(ctx);
    const alarm = await alarmOf(ctx);
    const { text, odd, ...held } = written(sql, await pairsOf(ctx, sql), alarm);
    const lacking = whole ? (odd ?? unkeyed(sql)) : null;
    if (lacking !== null) throw new Refusal(lacking);
    const found = { ...held, alarm, bytes: sql?.databaseSize ?? text.length, digest: await digestOf(text) };
    return whole ? { ...found, content: await packed(text), bookmark: await bookmarkOf(ctx) } : found;
  },

  // A part of a snapshot, kept until `restore` puts it all back at once; gone with the object's memory.
  stage(ctx, { content, at, part }) {
    const now = staged.get(ctx);
    const kept = now?.content === content && at > 0 ? now : { content, parts: [] };
    kept.parts[at] = part;
    staged.set(ctx, kept);
  },

  // All or nothing, and only what is then read back as the same text.
  async restore(ctx, { content, parts, still }, object) {
    const kept = staged.get(ctx);
    staged.delete(ctx);
    if (kept?.content !== content || kept.parts.length !== parts) throw new Refusal("the object was started anew before it had the whole snapshot");
    const text = await unpacked(kept.parts);
    if ((await digestOf(text)) !== content) throw new Refusal("what came of the snapshot is not what it has");
    const { alarm } = read(text);
    if (alarm !== null && typeof object.alarm !== "function") throw new Refusal("the snapshot has an alarm, and the class has no alarm()");
    const sql = sqlOf(ctx);
    const bookmark = await bookmarkOf(ctx);
    const ring = (storage) => (alarm === null ? storage.deleteAlarm() : storage.setAlarm(alarm));
    if (sql === null) {
      await ctx.storage.transaction(async (txn) => {
        await loadKeys(txn, text);
        await ring(txn);
      });
    } else {
      ctx.storage.transactionSync(() => {
        still?.();
        load(ctx, sql, text);
      });
      await after(() => ring(ctx.storage)); // nothing was waited for before it: one commit
    }
    await after(() => ctx.storage.sync());
    restart(ctx, "a snapshot was put back");
    return { bookmark };
  },

  alarm: async (ctx, { at, still }) => {
    await inOne(ctx, still, () => (at === null ? ctx.storage.deleteAlarm() : ctx.storage.setAlarm(decode(at))));
    return after(() => alarmOf(ctx));
  },

  // The handler, now and once; an alarm that is set stays set.
  async ring(ctx, _, object) {
    if (typeof object.alarm !== "function") throw new Refusal("the class has no alarm()");
    await theirs(() => object.alarm({ retryCount: 0, isRetry: false, scheduledTime: Date.now() }));
    return after(() => alarmOf(ctx));
  },

  async wipe(ctx, { still }) {
    still?.(); // and nothing is waited for before all is deleted: no transaction can have deleteAll()
    const steps = [ctx.storage.deleteAlarm(), ctx.storage.deleteAll()]; // it left the alarm before compatibility date 2026-02-24
    await after(async () => {
      await Promise.all(steps);
      await ctx.storage.sync();
    });
    restart(ctx, "its data was deleted");
  },

  restart: (ctx) => restart(ctx, "it was restarted"),
};

const staged = new WeakMap(); // the `ctx` of an object -> the parts of a snapshot that came so far

// Compares and writes with nothing in between.
function inOne(ctx, still, write) {
  still?.();
  return write();
}

// Where one could go back to for thirty days; nothing where the runtime has no such history.
async function bookmarkOf(ctx) {
  try {
    return String(await ctx.storage.getCurrentBookmark());
  } catch {
    return null;
  }
}

class Undo extends Error {}
const NO_READ = "this statement does more than read; it was undone. Run it as a change.";

// Returns what `run` returns, with all that it did undone.
function undone(ctx, run) {
  let result;
  try {
    ctx.storage.transactionSync(() => {
      result = run();
      throw new Undo();
    });
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
  }
  return result;
}

// Each cell as SQLite has it, with a letter for its kind: a Worker reads whole numbers as doubles, and 1.0 as 1. Nothing for
// what cannot stand within a SELECT, as a PRAGMA.
function exactly(sql, text, columns, given, most) {
  const names = columns.map((_, at) => `c${at}`);
  let cursor;
  try {
    cursor = sql.exec(`WITH q(${names}) AS (${text.replace(/[\s;]+$/, "")}\n) SELECT ${names.map(kindAndCell)} FROM q`, ...given);
  } catch {
    return undefined;
  }
  return { columns, ...cellsOf(cursor, most), inexact: [], read: cursor.rowsRead, written: cursor.rowsWritten };
}

// A letter before what a Worker would take for something else: a whole number as its digits, and so each text too. One
// result for each column, so that a statement with as many as a Worker's may give is read exactly.
const kindAndCell = (c) => `CASE typeof(${c}) WHEN 'integer' THEN 'i' || ${c} WHEN 'text' THEN 't' || ${c} ELSE ${c} END`;

function kindOf(cell) {
  if (typeof cell === "string") return cell[0];
  return cell === null ? "n" : typeof cell === "number" ? "r" : "b";
}

function cellsOf(cursor, most) {
  const rows = [];
  const kinds = [];
  for (const row of cursor.raw()) {
    if (rows.length >= most) throw new Refusal(`this gives more than ${most} rows; narrow it`);
    kinds.push(row.map(kindOf).join(""));
    rows.push(row.map((cell) => (typeof cell === "string" ? cell.slice(1) : cell)));
  }
  return { rows, kinds };
}

// The cells of all rows of a table, its key first. A wide one is read in parts, which have one order.
function allOf(sql, { name, key }, columns, most) {
  const rows = [];
  const kinds = [];
  for (let from = 0; from < columns.length; from += MOST_COLUMNS) {
    const part = columns.slice(from, from + MOST_COLUMNS);
    const read = cellsOf(sql.exec(`SELECT ${part.map(kindAndCell)} FROM ${quoted(name)} ORDER BY ${key}`), most);
    read.rows.forEach((row, at) => (rows[at] ??= []).push(...row));
    read.kinds.forEach((text, at) => (kinds[at] = (kinds[at] ?? "") + text));
  }
  return { rows, kinds };
}

const MOST_TRIED = 20_000;

function contentsOf(sql) {
  const tables = new Map();
  let left = MOST_TRIED;
  for (const { name } of tablesOf(sql)) {
    const shape = shapeOf(sql, name);
    const names = shape.columns.map(([column]) => quoted(column));
    const { rows, kinds } = allOf(sql, shape, [...shape.key, ...names], left + 1);
    left -= rows.length;
    if (left < 0) throw new Refusal(`its tables have more than ${MOST_TRIED} rows, which are all compared to show what changes; use a method of the class`);
    const keys = shape.key.length;
    const held = new Map();
    rows.forEach((row, at) => {
      const cells = row.slice(keys);
      const key = { names: shape.key, kinds: kinds[at].slice(0, keys), cells: row.slice(0, keys) };
      held.set(encode([key.kinds, key.cells]), { key, cells, kinds: kinds[at].slice(keys) });
    });
    tables.set(name, { ...shape, held });
  }
  const schema = new Map();
  const made = sql.exec(`SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND ${OF_USERS}`);
  for (const one of made) schema.set(`${one.type} ${one.name}`, one);
  return { tables, schema };
}

function schemaChanges(before, after) {
  return [...new Set([...before.schema.keys(), ...after.schema.keys()])].flatMap((key) => {
    const [was, now] = [before.schema.get(key), after.schema.get(key)];
    if (was?.sql === now?.sql) return [];
    const { type, name } = was ?? now;
    const rows = now === undefined && type === "table" ? (before.tables.get(name)?.held.size ?? null) : null;
    return [{ type, name, before: was?.sql ?? null, after: now?.sql ?? null, rows }];
  });
}

// A table whose columns are others now is a change of the schema alone.
function rowChanges(was, now) {
  if (was !== undefined && encode(was.columns) !== encode(now.columns)) return [];
  const columns = now.columns.map(([column]) => column);
  const old = was?.held ?? new Map();
  return [...new Set([...old.keys(), ...now.held.keys()])].flatMap((key) => {
    const [before, after] = [old.get(key) ?? null, now.held.get(key) ?? null];
    if (before !== null && after !== null && encode(before) === encode(after)) return [];
    const kind = before === null ? "insert" : after === null ? "delete" : "update";
    const { key: keyed } = before ?? after;
    return [{ table: now.name, kind, columns, by: now.byRowid ? now.key[0] : null, key: keyed.cells[0], keyed, before, after }];
  });
}

// The next request makes the object anew, so that its constructor meets what is stored now. The answer leaves first.
function restart(ctx, why) {
  setTimeout(() => ctx.abort(`notebook_do: ${why} from a notebook`), 0);
}

function sqlOf(ctx) {
  try {
    ctx.storage.sql.exec("SELECT 1");
    return ctx.storage.sql;
  } catch {
    return null; // key-value storage without SQL has a `sql` that throws
  }
}

function needed(ctx) {
  const sql = sqlOf(ctx);
  if (sql === null) throw new Refusal("this namespace has key-value storage without SQL");
  return sql;
}

const tablesOf = (sql) => [...sql.exec(`SELECT name FROM sqlite_master WHERE type = 'table' AND ${OF_USERS}`)];

// JavaScript reads every number of SQLite as a double: columns whose integers may have lost digits are `inexact`.
function rowsOf(cursor, most) {
  const columns = cursor.columnNames;
  const rows = [];
  const inexact = new Set();
  for (const row of cursor.raw()) {
    if (rows.length >= most) throw new Refusal(`this gives more than ${most} rows; narrow it`);
    row.forEach((cell, at) => {
      if (Number.isInteger(cell) && !Number.isSafeInteger(cell)) inexact.add(columns[at]);
    });
    rows.push(row);
  }
  return { columns, rows, inexact: [...inexact], read: cursor.rowsRead, written: cursor.rowsWritten };
}

async function alarmOf(ctx) {
  const at = await ctx.storage.getAlarm();
  return at === null ? null : new Date(at);
}
