/** Checks at the edge of a package, where plain JavaScript may hand over any value. */

/** Formats any argument for an error message. */
export function describeArgument(value: unknown): string {
  switch (typeof value) {
    case 'number':
      return String(value)
    case 'bigint':
      return `${value}n`
    case 'string':
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object'
    case 'function':
      return 'a function'
    default:
      return String(value)
  }
}

/** Returns the fields that are not undefined: for options that are absent where nothing is given. */
export function defined<Fields extends object>(
  fields: Fields,
): { [K in keyof Fields]?: Exclude<Fields[K], undefined> } {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given) as { [K in keyof Fields]?: Exclude<Fields[K], undefined> }
}

/** Returns whether a value is an object with these methods. */
export function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}

/** Checks that throw a package's own error; the message names the argument, its value and the expected values. */
export class ArgumentChecks {
  readonly #error: (message: string) => Error

  /** @param error - makes the error of a message */
  constructor(error: (message: string) => Error) {
    this.#error = error
  }

  /** Makes the error for an argument that is not as `expected` says. */
  wrong(name: string, value: unknown, expected: string): Error {
    return this.#error(`${name} is ${describeArgument(value)}: expected ${expected}`)
  }

  /** Throws unless `value` is a number. */
  number(name: string, value: unknown): void {
    if (typeof value !== 'number') throw this.wrong(name, value, 'a number')
  }

  /** Throws unless `value` is an integer in a range. */
  integer(name: string, value: unknown, least: number, most: number): void {
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return
    throw this.wrong(name, value, `an integer from ${least} to ${most}`)
  }

  /** Throws unless `value` is a bigint. */
  bigint(name: string, value: unknown): void {
    if (typeof value !== 'bigint') throw this.wrong(name, value, 'a bigint')
  }

  /** Throws unless `value` is a string. */
  text(name: string, value: unknown): void {
    if (typeof value !== 'string') throw this.wrong(name, value, 'a string')
  }

  /** Throws unless `value` is an object, which may be a list. */
  object(name: string, value: unknown): void {
    if (typeof value !== 'object' || value === null) throw this.wrong(name, value, 'an object')
  }

  /** Throws unless `value` is a function. */
  function(name: string, value: unknown): void {
    if (typeof value !== 'function') throw this.wrong(name, value, 'a function')
  }

  /** Throws unless `value` is an array. */
  list(name: string, value: unknown): void {
    if (!Array.isArray(value)) throw this.wrong(name, value, 'an array')
  }

  /** Throws unless `value` is a Uint8Array. */
  bytes(name: string, value: unknown): void {
    if (!(value instanceof Uint8Array)) throw this.wrong(name, value, 'a Uint8Array')
  }

  /** Throws unless `value` is an object with these methods. */
  methods(name: string, value: unknown, ...methods: readonly string[]): void {
    if (hasMethods(value, ...methods)) return
    throw this.wrong(name, value, methods.length === 0 ? 'an object' : `an object with ${methods.join(' and ')}`)
  }
}
