"""Small programs, one for each thing that a bundle can be asked for, each with what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# (module (func (export "f") (result i32) i32.const 42))
WASM = bytes.fromhex("0061736d010000000105016000017f03020100070501016600000a06010400412a0b")
NEW = "2026-06-01"
NODE = {"compatibility_flags": ["nodejs_compat"]}


@dataclass(frozen=True, kw_only=True)
class Program:
    """Files by path, fields of the Worker, and the JSON that it answers to `/`."""

    name: str
    files: dict[str, str | bytes]
    answer: Any
    fields: dict[str, Any] = field(default_factory=dict)
    entrypoint: str = "src/index.ts"
    date: str = NEW

    def write(self, folder: Path) -> None:
        """Write its files below a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def answers(expression: str, head: str = "") -> str:
    """Write a Worker that answers with an expression as JSON."""
    return f"{head}\nexport default {{ async fetch(request, env, ctx) {{ return Response.json({expression}); }} }};\n"


def package(name: str, more: str = "", **files: str) -> dict[str, str | bytes]:
    """Return the files of an npm package; `more` stands in its package.json."""
    made: dict[str, str | bytes] = {f"node_modules/{name}/package.json": f'{{"name": "{name}"{more}}}'}
    return made | {f"node_modules/{name}/{path.replace('__', '.')}": text for path, text in files.items()}


PROGRAMS = (
    Program(
        name="node-env",
        files={
            "src/index.ts": answers(
                "[process.env.NODE_ENV, mode, globalThis.process?.env?.NODE_ENV]", "import { mode } from './mode';"
            ),
            "src/mode.ts": "export const mode = process.env.NODE_ENV === 'production' ? 'fast' : 'slow';",
        },
        answer=["production", "fast", "production"],
    ),
    Program(
        name="plain-node-env",
        files={"src/index.js": answers("process.env.NODE_ENV")},
        entrypoint="src/index.js",
        answer="production",
    ),
    Program(
        name="define-alias-minify",
        files={
            "src/index.ts": answers(
                "[MODE, LIMITS.max, process.env.STAGE, big(2), other]",
                "import { big } from 'math'; import other from '@scope/other';",
            ),
            "src/big.ts": "export const big = (n: number): number => n * 1000;",
            **package("stands-in", index__js="module.exports = 'stands in';"),
        },
        fields={
            "define": {"MODE": '"quick"', "LIMITS": '{"max": 3}', "process.env.STAGE": "'dev'"},
            "alias": {"math": "./src/big.ts", "@scope/other": "stands-in"},
            "minify": True,
        },
        answer=["quick", 3, "dev", 2000, "stands in"],
    ),
    Program(
        name="rules",
        files={
            "src/index.ts": answers(
                "[readme, [...new Uint8Array(picture)], notes, [...new Uint8Array(bin)]]",
                "import readme from './README.md'; import picture from './a.png'; import notes from './notes.txt';"
                "import bin from './b.bin';",
            ),
            "src/README.md": "# Read",
            "src/a.png": b"\x89P",
            "src/b.bin": b"\x00\x01",
            "src/notes.txt": "notes",
        },
        fields={
            "rules": [
                {"type": "Text", "globs": ["**/*.md"], "fallthrough": True},
                {"type": "Data", "globs": ["**/*.png"], "fallthrough": True},
            ]
        },
        answer=["# Read", [0x89, 0x50], "notes", [0, 1]],
    ),
    Program(
        name="jsx-in-js",
        files={
            "src/index.js": answers(
                "<b id='x'>{list}</b>",
                "/** @jsx h */\nimport { list } from './list.js';\n"
                "const h = (tag, props, ...children) => ({ tag, ...props, children });",
            ),
            "src/list.js": "/** @jsx h */\nconst h = (tag) => tag;\nexport const list = <i/>;",
        },
        entrypoint="src/index.js",
        answer={"tag": "b", "id": "x", "children": ["i"]},
    ),
    Program(
        name="browser-and-conditions",
        files={
            "src/index.ts": answers(
                "[one, two.inner, three]", "import one from 'one'; import two from 'two'; import three from 'three';"
            ),
            **package(
                "one",
                ', "main": "main.js", "browser": "browser.js"',
                main__js="module.exports = 'main';",
                browser__js="module.exports = 'browser';",
            ),
            **package(
                "two",
                ', "main": "main.js", "browser": {"./inner.js": "./other.js", "fs": false}',
                main__js="require('fs'); exports.inner = require('./inner.js');",
                inner__js="module.exports = 'inner';",
                other__js="module.exports = 'other';",
            ),
            **package(
                "three",
                ', "exports": {"node": "./n.js", "workerd": "./w.mjs", "default": "./d.js"}',
                n__js="module.exports = 'node';",
                w__mjs="export default 'workerd';",
                d__js="module.exports = 'default';",
            ),
        },
        answer=["browser", "other", "workerd"],
    ),
    Program(
        name="wasm-module",
        files={
            "src/index.ts": answers(
                "[...(await Promise.all([a, b].map((m) => WebAssembly.instantiate(m)))).map((i) => i.exports.f()), t]",
                "import a from './a.wasm?module'; import b from 'has-wasm/b.wasm'; import t from './nested/t.html';",
            ),
            "src/a.wasm": WASM,
            "src/nested/t.html": "<p>",
            **package("has-wasm"),
            "node_modules/has-wasm/b.wasm": WASM,
        },
        answer=[42, 42, "<p>"],
    ),
    Program(
        name="css",
        files={
            "src/index.ts": answers("Object.keys(styles)", "import './a.css'; import styles from './b.module.css';"),
            "src/a.css": "p { color: red }",
            "src/b.module.css": ".title { color: blue }",
        },
        answer=["title"],
    ),
    Program(
        name="required-builtins",
        files={
            "src/index.ts": answers(
                "[lib.join, lib.kind, lib.inherits, fs === lib.fs]",
                "import lib from 'commonjs'; import fs from 'node:fs';",
            ),
            **package(
                "commonjs",
                index__js=(
                    "const { EventEmitter } = require('events'); const path = require('node:path');"
                    "const util = require('util'); class E extends EventEmitter {}"
                    "exports.join = path.join('a', 'b'); exports.kind = new E() instanceof EventEmitter;"
                    "exports.inherits = typeof util.inherits; exports.fs = require('fs');"
                ),
            ),
        },
        fields=NODE,
        answer=["a/b", True, "function", True],
    ),
    Program(
        name="userland-punycode",
        files={
            "src/index.ts": answers("lib", "import lib from 'urls';"),
            **package("urls", index__js="module.exports = [require('punycode/').own, typeof require('punycode')];"),
            **package("punycode", index__js="exports.own = 'userland';"),
        },
        fields=NODE,
        answer=["userland", "object"],
    ),
    Program(
        name="polyfills",
        files={
            "src/index.ts": answers(
                "[typeof os.platform(), typeof vm.Script, typeof process.nextTick, http2.constants.NGHTTP2_NO_ERROR, "
                "typeof performance.mark, tty.isatty(1), lib.cluster, typeof punycode.toASCII]",
                "import os from 'os'; import vm from 'node:vm'; import http2 from 'node:http2'; import tty from 'tty';"
                "import lib from 'commonjs'; import punycode from 'punycode';",
            ),
            **package("commonjs", index__js="exports.cluster = require('cluster').isPrimary;"),
        },
        fields=NODE,
        date="2024-10-01",
        answer=["string", "function", "function", 0, "function", False, True, "function"],
    ),
    Program(
        name="npm-shims",
        files={
            "src/index.ts": answers(
                "[typeof fetcher, made]", "import fetcher from 'node-fetch'; import made from 'm';"
            ),
            **package("node-fetch", index__js="module.exports = 'the package itself';"),
            **package("inherits", index__js="module.exports = 'the package itself';"),
            **package("m", index__js="module.exports = typeof require('inherits');"),
        },
        fields=NODE,
        answer=["function", "function"],
    ),
    Program(
        name="tsconfig",
        files={
            "src/index.ts": answers("[a, new Old().x]", "import { a } from '~/a'; class Old { x = 'kept' }"),
            "lib/a.ts": "export const a = 'by paths';",
            "conf/tsconfig.json": '{"compilerOptions": {"paths": {"~/*": ["../lib/*"]}}}',
        },
        fields={"tsconfig": "conf/tsconfig.json"},
        answer=["by paths", "kept"],
    ),
    Program(
        name="additional-modules",
        files={
            "src/index.ts": answers(
                "(await Promise.all(['en', 'de'].map((l) => import(`./lang/${l}.mjs`)))).map((m) => m.default)"
            ),
            "src/lang/en.mjs": "export default 'hello';",
            "src/lang/de.mjs": "export default 'hallo';",
        },
        fields={
            "find_additional_modules": True,
            "rules": [{"type": "ESModule", "globs": ["lang/*.mjs"]}],
        },
        answer=["hello", "hallo"],
    ),
    Program(
        name="no-bundle",
        files={
            "dist/index.js": "// import x from 'nowhere';\n"
            + answers(
                "[name, text, `import y from './gone.js'`, typeof lazy]",
                "/* export * from './gone.js' */ import { name } from './chunks/name.js'; import text from './t.txt';"
                "const lazy = (n) => import(n);",
            ),
            "dist/chunks/name.js": "export const name = 'from \"./gone.js\"';",
            "dist/t.txt": "text",
        },
        entrypoint="dist/index.js",
        fields={"no_bundle": True, "rules": [{"type": "ESModule", "globs": ["**/*.js"]}]},
        answer=['from "./gone.js"', "text", "import y from './gone.js'", "function"],
    ),
    Program(
        name="old-node",
        files={
            "src/index.ts": answers(
                "[Buffer.from('a').toString('hex'), lib]",
                "import { Buffer } from 'node:buffer'; import lib from 'path-like';",
            ),
            **package("path-like", index__js="module.exports = 'a package';"),
        },
        fields=NODE,
        date="2024-09-01",
        answer=["61", "a package"],
    ),
    Program(
        name="tsx-and-enums",
        files={
            "src/index.tsx": answers(
                "[view, Color.Green, json.a, rest]",
                "/** @jsxImportSource tiny */\nimport { Color } from './color'; import json from './x.json';\n"
                "import * as all from './all'; const { ...rest } = all; const view = <p>hi</p>;",
            ),
            "src/color.ts": "export enum Color { Red, Green }\nexport type Named = { name: string };",
            "src/all.ts": "export * from './color'; export type { Named } from './color'; export const z = 1;",
            "src/x.json": '{"a": [1]}',
            "node_modules/tiny/package.json": '{"name": "tiny", "exports": {"./jsx-runtime": "./jsx.js"}}',
            "node_modules/tiny/jsx.js": "exports.jsx = (tag, props) => tag + props.children;",
            "tsconfig.json": '{"compilerOptions": {"jsx": "react-jsx"}}',
        },
        entrypoint="src/index.tsx",
        answer=["phi", 1, [1], {"Color": {"0": "Red", "1": "Green", "Red": 0, "Green": 1}, "z": 1}],
    ),
    Program(
        name="runtime-modules",
        files={
            "src/index.ts": answers(
                "[typeof connect, typeof DurableObject, navigator.userAgent, typeof env]",
                "import { connect } from 'cloudflare:sockets'; import { DurableObject, env } from 'cloudflare:workers';"
                "import './side';",
            ),
            "src/side.ts": "globalThis.side = 1;",
        },
        answer=["function", "function", "Cloudflare-Workers", "object"],
    ),
    Program(
        name="email",
        files={
            "src/index.ts": answers(
                "[mail.from, mail.to, typeof mail.constructor]",
                "import { EmailMessage } from 'cloudflare:email'; import './side';"
                "const mail = new EmailMessage('a@example.com', 'b@example.com', 'Subject: x');",
            ),
            "src/side.ts": "globalThis.side = 1;",
        },
        answer=["a@example.com", "b@example.com", "function"],
    ),
)
