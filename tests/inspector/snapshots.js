// Classes whose objects hold one of everything, and tell it by themselves.
import { DurableObject } from "cloudflare:workers";
const twice = [1];
const round = { twice, again: twice }; round.self = round;
const holes = [1, , 3]; holes.named = "n";
const VALUES = {
  big: 2n ** 200n, nan: NaN, minus: -0, endless: -Infinity, none: undefined, nil: null, whole: 2 ** 60, date: new Date(5),
  map: new Map([["k", new Set([1, { $: "def" }])]]), round, holes, bytes: new Uint8Array([0, 255]).buffer,
  view: new DataView(new Uint8Array([1, 2, 3]).buffer, 1), halves: "a\ud800b", floats: new Float32Array([1.5, -0]),
  error: new RangeError("far", { cause: 1 }), invalid: new Date(NaN), regexp: /a\/b/gi, empty: new Uint8Array(),
};
const rest = (n) => Array.from({ length: n }, (_, at) => `c${at}`);
export class Room extends DurableObject {
  fill() {
    const sql = this.ctx.storage.sql;
    for (const text of [
      "CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)",
      "CREATE TABLE child (of INTEGER REFERENCES parent(id) ON DELETE CASCADE, n, r REAL, b BLOB, g AS (n || '!') STORED)",
      "CREATE TABLE [odd \"name] (\"a key\" TEXT, n INT, PRIMARY KEY (n, \"a key\")) WITHOUT ROWID",
      "CREATE TABLE strict_one (x ANY, i INT) STRICT",
      `CREATE TABLE wide (${rest(100)})`,
      "CREATE TABLE rowids (rowid, _rowid_, oid)",
      "CREATE INDEX byname ON child (n, r DESC)",
      "CREATE VIEW seen AS SELECT name FROM parent",
      "CREATE TABLE log (what)",
      "CREATE TRIGGER noted AFTER INSERT ON parent BEGIN INSERT INTO log VALUES ('a ' || NEW.name); SELECT 1; END",
      "INSERT INTO parent VALUES (7, 'ada'), (9223372036854775806, 'ü')",
      "DELETE FROM parent WHERE id > 7",
      "INSERT INTO child (rowid, of, n, r, b) VALUES (-5, 7, 9007199254740993, 1.0, x'00ff'), (3, NULL, NULL, 9e999, x'')",
      "INSERT INTO child (n, r) VALUES (1.0, -0.0), ('text', 1e300), (x'01', 0.1), ('', 5), (-9223372036854775808, 2)",
      "INSERT INTO child (n) VALUES (CAST(x'ff41' AS TEXT)), ('nul' || char(0) || 'l'), (char(65279) || 'bom'), (5e-324)",
      "INSERT INTO [odd \"name] VALUES ('x', 1), ('y', 1)",
      "INSERT INTO strict_one VALUES ('5', 5), (5, NULL), (5.0, 1)",
      `INSERT INTO wide (rowid, c0, c99) VALUES (9007199254740993, 'first', 'last')`,
      "INSERT INTO rowids VALUES (1, 2, 3)",
    ]) sql.exec(text);
    for (const [key, value] of Object.entries(VALUES)) this.ctx.storage.kv.put(key, value);
    this.ctx.storage.kv.put("", "no name"); this.ctx.storage.kv.put("__proto__", { __proto__: null, ["__proto__"]: 1 });
    return this.ctx.storage.setAlarm(4102455845006);
  }
  // Read by itself, without a word of ours: what it holds, exactly.
  async all() {
    const sql = this.ctx.storage.sql;
    const rows = {};
    for (const { name, type } of sql.exec("SELECT name, type FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name").toArray()) {
      const columns = sql.exec(`PRAGMA table_xinfo("${name.replaceAll('"', '""')}")`).toArray().map((one) => `quote("${one.name}") || typeof("${one.name}")`);
      const ids = ["odd \"name", "rowids", "sqlite_sequence"].includes(name) ? "1" : "CAST(rowid AS TEXT)";
      const all = columns.length > 50 ? [columns[0], columns[99]] : columns;
      rows[name] = sql.exec(`SELECT ${[ids, ...all]} FROM "${name.replaceAll('"', '""')}" ORDER BY 1, 2`).raw().toArray();
    }
    const schema = sql.exec("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY 1, 2").raw().toArray();
    const values = [...this.ctx.storage.kv.list()].map(([key, value]) => [key, told(value)]);
    return JSON.stringify({ rows, schema, values, alarm: await this.ctx.storage.getAlarm() });
  }
  run(sql) { this.ctx.storage.sql.exec(sql); }
  keep(key, value) { return this.ctx.storage.put(key, value); }
  boxed() { return this.ctx.storage.put("boxed", Object(5)); }
  large() { for (let n = 0; n < 20; n++) this.ctx.storage.kv.put(`k${n}`, new Uint8Array(1 << 20)); }
  random() { for (let n = 0; n < 60; n++) for (let m = 0; m < 2; m++) this.ctx.storage.kv.put(`r${n}.${m}`, crypto.getRandomValues(new Uint8Array(60_000))); }
  breaks() { Object.defineProperty(this.ctx.storage, "setAlarm", { value: () => { throw new Error("no alarm today"); } }); }
  alarm() {}
}
function told(value, met = new Map()) {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : `number ${value}`;
  if (typeof value !== "object" || value === null) return `${typeof value} ${JSON.stringify(value)}`;
  if (met.has(value)) return `met ${met.get(value)}`;
  met.set(value, met.size);
  const kind = Object.prototype.toString.call(value) + (value.constructor?.name ?? "");
  const inner = (items) => items.map((one) => told(one, met));
  if (value instanceof Map) return [kind, ...[...value].map(([k, v]) => [told(k, met), told(v, met)])];
  if (value instanceof Set) return [kind, ...inner([...value])];
  if (value instanceof ArrayBuffer) return [kind, new Uint8Array(value).toHex()];
  if (ArrayBuffer.isView(value)) return [kind, new Uint8Array(value.buffer, value.byteOffset, value.byteLength).toHex()];
  if (value instanceof Error) return [kind, value.name, value.message, value.stack, told(value.cause, met)];
  if (value instanceof Date || value instanceof RegExp) return [kind, String(+value), String(value)];
  return [kind, value.length, ...Object.keys(value).map((key) => [key, told(value[key], met)])];
}
export class Legacy extends DurableObject {
  fill(n) { for (let at = 0; at < n; at++) this.ctx.storage.put(`k${at}`, { at, n }); return this.ctx.storage.setAlarm(4102455845006); }
  async all() { return [await this.ctx.storage.getAlarm(), [...await this.ctx.storage.list()]]; }
  alarm() {}
}
export class Silent extends DurableObject { keep(key, value) { return this.ctx.storage.put(key, value); } }
export default { fetch() { return new Response("ok"); } };
