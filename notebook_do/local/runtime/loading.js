// Loads scripts one after the other, each in an isolate of its own, and says what the first module answers.
const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;

function moduleOf({ kind, content }) {
  if (kind === "data" || kind === "wasm") return { [kind]: bytes(content) };
  return { [kind]: kind === "json" ? JSON.parse(content) : content };
}

export default {
  async fetch(request, env) {
    const { modules, ...code } = await request.json();
    const loaded = Object.fromEntries(modules.map((module) => [module.name, moduleOf(module)]));
    try {
      const worker = env.LOADER.load({ ...code, modules: loaded, allowExperimental: true, globalOutbound: null });
      return await worker.getEntrypoint().fetch("http://probe/");
    } catch {
      return new Response(null, { status: 500 }); // a start of its own has the words for it
    }
  },
};
