// Stands in for a binding that the local runtime does not serve: every use of it throws the message that it is made with.
// It is no service, as that would hand out a promise for each property: Hyperdrive's `connectionString` is read, not called.

// What is looked at without being used: by `await`, by JSON.stringify, and by whoever prints `env` or searches it.
const LOOKED_AT = new Set(["then", "toJSON", ...Object.getOwnPropertyNames(Object.prototype)]);

export default function ({ message }) {
  const refuse = () => {
    throw new Error(message);
  };
  return new Proxy(
    {},
    {
      get: (target, key) => (typeof key === "symbol" || LOOKED_AT.has(key) ? Reflect.get(target, key) : refuse()),
      set: refuse,
    },
  );
}
