// All that an object has stored as one text, which is equal exactly where all of that is; and back. A row is a letter for
// the kind of each cell, then the cells: whole numbers as digits, which a Worker would round, bytes as base64.
import { Refusal, Unsendable, Writer, decode } from "./wire.js";

const FORM = "notebook-do-object-1";
const MOST = 15 << 20;
const MOST_ROWS = 100_000;
const MOST_PARAMETERS = 100; // of a statement of a Worker's
export const MOST_COLUMNS = 100; // that it gives: a cell with its kind is two
const LATEST = 9_223_372_036_854; // as an alarm: workerd counts nanoseconds in 64 bits
const AT_ONCE = 128; // keys that one put() or delete() of the older storage takes
const LARGE = `it holds more than ${MOST >> 20} MiB as it is written down`;

export const OF_USERS = "name NOT LIKE '\\_cf\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
export const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

export async function digestOf(text) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}

// All keys with their values; of storage without SQL nothing tells them at once.
export const pairsOf = async (ctx, sql) => (sql === null ? pagesOf(ctx.storage) : ctx.storage.kv.list());

async function pagesOf(storage) {
  const pairs = new Map();
  for (let page, after; page === undefined || page.size === 1000; after = [...page.keys()].at(-1)) {
    page = await storage.list({ limit: 1000, ...(after !== undefined && { startAfter: after }) });
    for (const [key, value] of page) pairs.set(key, value);
    if (pairs.size > MOST_ROWS) throw new Refusal(`it has more than ${MOST_ROWS} keys`);
  }
  return pairs;
}

// Returns the text, how much it tells of, and in `odd` why it cannot be put back. Nothing is waited for, so that a
// transaction can hold it; `pairs` and `alarm` are what only a promise tells.
export function written(sql, pairs, alarm) {
  const into = { left: MOST, odd: null };
  const { tables, names, ...rows } = sql === null ? { schema: [], tables: [], names: [], sequence: [] } : rowsOf(sql, into);
  const keys = [];
  for (const [key, value] of pairs) keys.push([key, valueOf(value, key, into)]);
  const text = JSON.stringify({ is: FORM, ...rows, tables, keys, alarm: alarm === null ? null : +alarm });
  if (text.length > MOST) throw new Refusal(LARGE);
  const counts = new Map(tables.map(({ name, rows: held }) => [name, held.length]));
  return { text, tables: names.map((name) => [name, counts.get(name)]), keys: keys.length, odd: into.odd };
}

function take(into, size) {
  into.left -= size;
  if (into.left < 0) throw new Refusal(LARGE);
}

function rowsOf(sql, into) {
  const kinds = new Map([...sql.exec("PRAGMA table_list")].map((one) => [one.name, one.type]));
  const schema = [...sql.exec(`SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND ${OF_USERS}`)];
  const virtual = schema.find((one) => kinds.get(one.name) === "virtual");
  if (virtual) into.odd = `its table ${virtual.name} is a virtual one, whose rows cannot be written back; export them with query`;
  // What it keeps its rows in are tables too.
  const plain = schema.filter((one) => one.type === "table" && kinds.get(one.name) !== "virtual");
  const order = (one, other) => (`${one.type} ${one.name}` < `${other.type} ${other.name}` ? -1 : 1);
  return {
    names: plain.map(({ name }) => name), // as they were made
    schema: schema.sort(order).map((one) => ({ type: one.type, name: one.name, sql: one.sql })),
    tables: plain.sort(order).map(({ name }) => tableOf(sql, name, into)),
    sequence: isCounted(sql) ? [...sql.exec("SELECT name, CAST(seq AS TEXT) FROM sqlite_sequence ORDER BY name").raw()] : [],
  };
}

// Says which table's rows could not be written back, as SQLite takes no row beside a foreign key to columns that are not
// unique (any more); null where there is none.
export function unkeyed(sql) {
  for (const { name } of sql === null ? [] : sql.exec(`SELECT name FROM sqlite_master WHERE type = 'table' AND ${OF_USERS}`).toArray()) {
    try {
      sql.exec(`PRAGMA foreign_key_check(${quoted(name)})`).toArray();
    } catch (error) {
      if (!String(error?.message).includes("foreign key mismatch")) throw error;
      return `its table ${name} has a foreign key to columns that no key makes unique, so its rows cannot be written back; export them with query`;
    }
  }
  return null;
}

const isCounted = (sql) => sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").toArray().length > 0;

// By what the rows of a table are told apart: a word for the rowid that no column has, or its key.
export function shapeOf(sql, name) {
  const all = [...sql.exec(`PRAGMA table_xinfo(${quoted(name)})`)];
  const kind = [...sql.exec(`PRAGMA table_list(${quoted(name)})`)][0];
  // Hidden are 1, what a virtual table takes as an argument; 2 and 3 are generated columns, which a SELECT has.
  const columns = all.filter((one) => one.hidden !== 1).map((one) => [one.name, one.type, one.pk > 0]);
  const taken = new Set(columns.map(([column]) => column.toLowerCase()));
  const word = ["rowid", "_rowid_", "oid"].find((one) => !taken.has(one));
  const byRowid = word !== undefined && !kind?.wr;
  const primary = all.filter((one) => one.pk > 0).sort((a, b) => a.pk - b.pk).map((one) => one.name);
  const key = byRowid ? [word] : (primary.length > 0 ? primary : columns.map(([column]) => column)).map(quoted);
  return { name, columns, key, byRowid, stored: all.filter((one) => one.hidden === 0).map((one) => one.name) };
}

function tableOf(sql, name, into) {
  const { key, byRowid, stored } = shapeOf(sql, name);
  const columns = [...(byRowid ? key : []), ...stored.map(quoted)];
  const cell = (c) => `typeof(${c}), CASE typeof(${c}) WHEN 'integer' THEN CAST(${c} AS TEXT) WHEN 'text' THEN CAST(${c} AS BLOB) ELSE ${c} END`;
  const rows = [];
  // Two for each column, and a SELECT of a Worker's gives a hundred: a wide table is read in parts, which have one order.
  for (let from = 0; from < columns.length; from += MOST_COLUMNS / 2) {
    const part = columns.slice(from, from + MOST_COLUMNS / 2);
    let at = 0;
    for (const row of sql.exec(`SELECT ${part.map(cell)} FROM ${quoted(name)} ORDER BY ${key}`).raw()) {
      if (at >= MOST_ROWS) throw new Refusal(`its table ${name} has more than ${MOST_ROWS} rows`);
      const cells = part.map((_, place) => cellOf(row[2 * place][0], row[2 * place + 1]));
      take(into, cells.reduce((sum, [, text]) => sum + (text?.length ?? 4) + 4, 4));
      const held = (rows[at++] ??= [""]);
      held[0] += cells.map(([kind]) => kind).join("");
      held.push(...cells.map(([, text]) => text));
    }
  }
  return { name, columns: stored, rowid: byRowid ? key[0] : null, rows };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function cellOf(kind, value) {
  if (kind === "n" || kind === "i") return [kind, value];
  if (kind === "r") return [kind, Object.is(value, -0) ? "-0" : String(value)];
  const bytes = new Uint8Array(value);
  if (kind === "b") return [kind, bytes.toBase64()];
  try {
    return [kind, utf8.decode(bytes)];
  } catch {
    return ["x", bytes.toBase64()]; // text that is no UTF-8: CAST(x'ff' AS TEXT) makes it
  }
}

const OF_ERRORS = ["name", "message", "stack", "cause"];

// Differs from what is answered where Python has one form for two of JavaScript's.
class Exact extends Writer {
  whole(value, path) {
    if (value instanceof ArrayBuffer) return this.bytes("buffer", new Uint8Array(value));
    if (value instanceof DataView) return this.bytes("view", new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    if (!Array.isArray(value) || isFull(value)) return super.whole(value, path);
    return { $: "array", n: value.length, v: Object.keys(value).map((at) => [this.key(at), this.write(value[at], `${path}.${at}`)]) };
  }

  error(error, path) {
    const own = Object.keys(error).filter((key) => !OF_ERRORS.includes(key));
    const made = { $: "error", name: String(error.name), message: String(error.message), stack: error.stack ?? null };
    if (error.cause !== undefined) made.cause = this.write(error.cause, `${path}.cause`);
    if (own.length > 0) made.own = own.map((key) => [this.key(key), this.write(error[key], `${path}.${key}`)]);
    return made;
  }
}

function isFull(list) {
  const keys = Object.keys(list);
  return keys.length === list.length && keys.every((key, at) => key === String(at));
}

function valueOf(value, key, into) {
  try {
    const node = JSON.stringify(new Exact().write(value, `key ${key}`));
    take(into, node.length + key.length);
    return JSON.parse(node);
  } catch (error) {
    if (!(error instanceof Unsendable)) throw error;
    into.odd ??= error.message;
    return { $: "odd" };
  }
}

// --- and back

// Puts what the text tells of in place of all rows and keys, or throws; whoever calls it has a transaction around it.
export function load(ctx, sql, text) {
  const held = read(text);
  sql.exec("PRAGMA defer_foreign_keys = ON"); // rows may refer to rows that come later
  clear(ctx, sql);
  const make = (kind) => held.schema.forEach((one) => one.type === kind && sql.exec(one.sql));
  make("table");
  make("index"); // before the rows: what a foreign key refers to may be unique by an index alone
  const lacking = standInForMissing(sql, referred(sql));
  for (const table of held.tables) fill(sql, table);
  for (const name of lacking) sql.exec(`DROP TABLE ${quoted(name)}`);
  if (isCounted(sql)) sql.exec("DELETE FROM sqlite_sequence"); // the object may have forgotten its numbers
  for (const row of held.sequence) sql.exec("INSERT INTO sqlite_sequence VALUES (?, CAST(? AS INTEGER))", ...row);
  make("view");
  make("trigger"); // after the rows, which it must not meet
  for (const [key, node] of held.keys) ctx.storage.kv.put(key, new Reader().read(node));
  // What is broken here would break the object when it is written to the disk.
  if (sql.exec("PRAGMA foreign_key_check").toArray().length > 0) throw new Refusal("its rows refer to rows that are not there");
  if (written(sql, ctx.storage.kv.list(), held.alarm).text !== text) throw new Refusal(DIFFERENT);
}

// The same for storage without SQL, whose transaction waits for each step.
export async function loadKeys(txn, text) {
  const held = read(text);
  if (held.schema.length > 0) throw new Refusal("it has tables, and this namespace keeps keys and values only");
  const old = [...(await pagesOf(txn)).keys()];
  for (let at = 0; at < old.length; at += AT_ONCE) await txn.delete(old.slice(at, at + AT_ONCE));
  const keys = held.keys.map(([key, node]) => [key, new Reader().read(node)]);
  for (let at = 0; at < keys.length; at += AT_ONCE) await txn.put(Object.fromEntries(keys.slice(at, at + AT_ONCE)));
  if (written(null, await pagesOf(txn), held.alarm).text !== text) throw new Refusal(DIFFERENT);
}

const DIFFERENT = "what was written back is not what the snapshot has, so all of it was undone";

export function read(text) {
  const held = JSON.parse(text);
  if (held.is !== FORM) throw new Refusal("the snapshot is written in another form than this object knows; deploy again");
  // Before anything is done: storage takes no other, and says so only when all the rest is committed.
  if (held.alarm !== null && !(Number.isInteger(held.alarm) && held.alarm > 0 && held.alarm <= LATEST)) {
    throw new Refusal("its alarm is no time that an alarm can have");
  }
  return held;
}

// Deletes all rows and keys. A table that is dropped has its rows deleted first, which runs what the foreign keys of other
// tables say (SET NULL of a NOT NULL column fails) and the triggers of those; and it cannot be dropped where one of these
// tables refers to another that is gone. So triggers go first, others keep the rows as they are, and an empty table
// stands for each that is referred to until no other is left.
function clear(ctx, sql) {
  const kinds = new Map([...sql.exec("PRAGMA table_list")].map((one) => [one.name, one.type]));
  const made = [...sql.exec(`SELECT type, name FROM sqlite_master WHERE type <> 'index' AND ${OF_USERS}`)];
  const drop = (type, name) => sql.exec(`DROP ${type} ${quoted(name)}`);
  for (const { type, name } of made) if (type === "trigger") drop(type, name);
  for (const { type, name } of made) if (type === "view") drop(type, name);
  const tables = made.filter((one) => one.type === "table").map(({ name }) => name);
  for (const name of tables) if (kinds.get(name) === "virtual") drop("table", name);
  const plain = tables.filter((name) => kinds.get(name) === "table");
  const keys = referred(sql);
  const standing = standInForMissing(sql, keys);
  plain.forEach((name, at) => ["UPDATE", "DELETE"].forEach((event) => {
    sql.exec(`CREATE TRIGGER "notebook_do ${event} ${at}" BEFORE ${event} ON ${quoted(name)} BEGIN SELECT RAISE(IGNORE); END`);
  }));
  for (const name of plain) {
    drop("table", name);
    if (keys.has(name.toLowerCase())) standing.push(standIn(sql, name, keys.get(name.toLowerCase())));
  }
  for (const name of standing) drop("table", name);
  for (const key of [...ctx.storage.kv.list()].map(([key]) => key)) ctx.storage.kv.delete(key);
}

// Of each table that a foreign key refers to, in small letters: the columns that each key names, null for its primary key.
function referred(sql) {
  const found = new Map();
  for (const { name } of sql.exec(`SELECT name FROM sqlite_master WHERE type = 'table' AND ${OF_USERS}`).toArray()) {
    const keys = new Map();
    for (const { id, table, to } of sql.exec(`PRAGMA foreign_key_list(${quoted(name)})`)) {
      keys.set(id, keys.get(id) ?? { table: table.toLowerCase(), columns: [] });
      keys.get(id).columns.push(to);
    }
    for (const { table, columns } of keys.values()) found.set(table, [...(found.get(table) ?? []), columns]);
  }
  return found;
}

// SQLite lets an object refer to a table that is not there yet; no row can be written beside such a key.
function standInForMissing(sql, keys) {
  const there = new Set([...sql.exec("SELECT lower(name) AS name FROM sqlite_master")].map(({ name }) => name));
  return [...keys].filter(([name]) => !there.has(name)).map(([name, columns]) => standIn(sql, name, columns));
}

// Makes an empty table that these keys can refer to, and that refers to none.
function standIn(sql, name, keys) {
  const columns = new Set();
  const unique = new Set();
  for (const key of keys) {
    const names = key.map((column, at) => quoted(column?.toLowerCase() ?? `notebook_do ${at}`));
    names.forEach((column) => columns.add(column));
    unique.add(`${key[0] === null ? "PRIMARY KEY" : "UNIQUE"} (${names})`);
  }
  sql.exec(`CREATE TABLE ${quoted(name)} (${[...columns, ...unique]})`);
  return name;
}

function fill(sql, { name, columns, rowid, rows }) {
  const names = [...(rowid === null ? [] : [rowid]), ...columns.map(quoted)];
  for (const [kinds, ...cells] of rows) {
    const given = [];
    const values = cells.map((cell, at) => {
      const [expression, ...parameter] = bound(kinds[at], cell, names.length > MOST_PARAMETERS);
      given.push(...parameter);
      return expression;
    });
    sql.exec(`INSERT INTO ${quoted(name)} (${names}) VALUES (${values})`, ...given);
  }
}

function bound(kind, cell, inline) {
  switch (kind) {
    case "n":
      return ["NULL"];
    case "i":
      return inline ? [String(BigInt(cell))] : ["CAST(? AS INTEGER)", cell];
    case "r":
      return ["?", Number(cell)];
    case "b": // workerd binds no bytes as NULL
      return cell === "" ? ["x''"] : ["?", Uint8Array.fromBase64(cell)];
    case "x":
      return ["CAST(? AS TEXT)", Uint8Array.fromBase64(cell)];
  }
  return ["?", cell];
}

const ERRORS = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

// Makes a value, with what stands in it twice, or holds itself, as it was.
class Reader {
  met = new Map();

  read(node, number) {
    if (node === null || typeof node !== "object") return node;
    if (!Object.hasOwn(node, "$")) return Array.isArray(node) ? this.list(node, number) : this.object(Object.entries(node), number);
    switch (node.$) {
      case "def":
        return this.read(node.v, node.n);
      case "ref":
        return this.met.get(node.v);
      case "object":
        return this.object(node.v.map(([key, item]) => [decode(key), item]), number);
      case "array":
        return this.set(this.keep(new Array(node.n), number), node.v.map(([key, item]) => [decode(key), item]));
      case "map":
        return node.v.reduce((map, [key, item]) => map.set(this.read(key), this.read(item)), this.keep(new Map(), number));
      case "set":
        return node.v.reduce((set, item) => set.add(this.read(item)), this.keep(new Set(), number));
      case "error":
        return this.error(node, number);
    }
    return this.keep(leaf(node), number);
  }

  keep(value, number) {
    if (number !== undefined) this.met.set(number, value);
    return value;
  }

  list(items, number) {
    const list = this.keep([], number);
    for (const item of items) list.push(this.read(item));
    return list;
  }

  object(pairs, number) {
    return this.set(this.keep({}, number), pairs);
  }

  // Not by assignment: `__proto__` is a key like any other.
  set(made, pairs) {
    for (const [key, item] of pairs) {
      Object.defineProperty(made, key, { value: this.read(item), configurable: true, enumerable: true, writable: true });
    }
    return made;
  }

  error({ name, message, stack, cause, own = [] }, number) {
    const made = this.keep(new (ERRORS[name] ?? Error)(message), number);
    const hidden = { configurable: true, writable: true };
    Object.defineProperty(made, "stack", { value: stack ?? undefined, ...hidden });
    if (cause !== undefined) Object.defineProperty(made, "cause", { value: this.read(cause), ...hidden });
    return this.set(made, own.map(([key, item]) => [decode(key), item]));
  }
}

function leaf(node) {
  switch (node.$) {
    case "buffer":
      return Uint8Array.fromBase64(node.v).buffer;
    case "view":
      return new DataView(Uint8Array.fromBase64(node.v).buffer);
    case "regexp":
      return new RegExp(node.v, node.flags);
  }
  return decode(node);
}

// --- its way out and in

export async function packed(text) {
  return new Uint8Array(await through(new TextEncoder().encode(text), new CompressionStream("gzip")));
}

export async function unpacked(parts) {
  const bytes = await through(Uint8Array.fromBase64(parts.join("")), new DecompressionStream("gzip"));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

const through = (bytes, stream) => new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer();
