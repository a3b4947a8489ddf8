import { ArgumentChecks } from '@retrap/basics'
import { WasmEmitterError } from './errors.ts'

/**
 * Throws a WasmEmitterError `ERR_TYPE` for a value of a wrong type: a mistake of plain JavaScript, found where the value is handed
 * over and not where its code fails to compile.
 */
export const check: ArgumentChecks = /*#__PURE__*/ new ArgumentChecks(
  (message) => new WasmEmitterError('ERR_TYPE', message),
)

/** Checks an unsigned integer, such as an index or an offset. */
export function checkIndex(what: string, value: number, limit: number = 2 ** 32): void {
  check.integer(what, value, 0, limit - 1)
}

/** Returns the entry of a table of instructions or types. */
export function entryOf<T extends number | readonly unknown[]>(
  table: Readonly<Record<string, T>>,
  what: string,
  name: string,
): T {
  const entry = typeof name === 'string' ? table[name] : undefined
  // A property that every object inherits is neither a number nor an array.
  if (typeof entry !== 'number' && !Array.isArray(entry)) throw check.wrong(what, name, 'a name of WebAssembly')
  return entry
}
