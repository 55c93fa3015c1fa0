// Put before a script that is loaded: notes whether it reads, while it starts, what is bound to it but not given here.
import * as workers from "cloudflare:workers";

let read = false;
const note = () => {
  read = true;
};
for (const name of ["NOTEBOOK_DO_NAMES"]) {
  Object.defineProperty(workers.env ?? {}, name, { enumerable: true, configurable: true, get: note });
}

export const wasRead = () => read;
