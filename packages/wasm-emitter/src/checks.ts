import { WasmEmitterError } from './errors.ts'

// Mistakes of callers in plain JavaScript, found where the value is handed over and not where its code fails to compile.

/** Makes the error for a value of a wrong type. */
export function wrong(what: string, value: unknown, expected: string): WasmEmitterError {
  const object = typeof value === 'function' || (typeof value === 'object' && value !== null)
  const text = object ? `a ${typeof value}` : String(value as string | symbol)
  return new WasmEmitterError('ERR_TYPE', `${what} is ${text}: expected ${expected}`)
}

/** Checks an unsigned integer, such as an index or an offset. */
export function checkIndex(what: string, value: number, limit: number = 2 ** 32): void {
  if (!Number.isInteger(value) || value < 0 || value >= limit) {
    throw wrong(what, value, `an integer from 0 to ${limit - 1}`)
  }
}

/** Checks a text. */
export function checkText(what: string, value: string): void {
  if (typeof value !== 'string') throw wrong(what, value, 'a string')
}

/** Checks a function. */
export function checkFunction(what: string, value: unknown): void {
  if (typeof value !== 'function') throw wrong(what, value, 'a function')
}

/** Checks an object, which may be a list. */
export function checkObject(what: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw wrong(what, value, 'an object')
}

/** Checks a list. */
export function checkList(what: string, value: unknown): void {
  if (!Array.isArray(value)) throw wrong(what, value, 'an array')
}

/** Returns the entry of a table of instructions or types. */
export function entryOf<T extends number | readonly unknown[]>(
  table: Readonly<Record<string, T>>,
  what: string,
  name: string,
): T {
  const entry = typeof name === 'string' ? table[name] : undefined
  // What every object has by inheritance is neither.
  if (typeof entry !== 'number' && !Array.isArray(entry)) throw wrong(what, name, 'a name of WebAssembly')
  return entry
}
