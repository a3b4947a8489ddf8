/** Calls of public functions with values that plain JavaScript hands over by mistake. */

const VALUES: readonly unknown[] = [
  undefined,
  null,
  Number.NaN,
  -1,
  1.5,
  Infinity,
  2 ** 60,
  'text',
  -1n,
  2n ** 70n,
  true,
  {},
  [],
  () => 0,
  Symbol('s'),
  new Date(0),
]

/** Values of every kind, also an object that cannot be made into a text or an index. */
export const JUNK: readonly unknown[] = [...VALUES, Object.create(null)]

type ErrorClass = abstract new (...args: never[]) => Error

/** Collects errors of calls that are not of a package's error class. */
export class Untyped {
  /** One line for each distinct error. */
  readonly found: Set<string> = new Set()
  readonly #typed: ErrorClass

  /** @param typed - the package's error class */
  constructor(typed: ErrorClass) {
    this.#typed = typed
  }

  attempt(what: string, call: () => unknown): void {
    try {
      call()
    } catch (error) {
      if (!(error instanceof this.#typed)) this.found.add(`${what}: ${String(error)}`)
    }
  }
}

/**
 * Calls a function with each of its arguments replaced by each value, and lists the errors that are not typed.
 *
 * @param call - the function; a class is called by a function that constructs it
 * @param args - valid arguments
 * @param typed - the package's error class
 * @returns a line for each error of another class
 */
export function misuses(call: (...args: never[]) => unknown, args: readonly unknown[], typed: ErrorClass): string[] {
  const untyped = new Untyped(typed)
  args.forEach((_, position) => {
    for (const value of VALUES) {
      const given = args.map((arg, i) => (i === position ? value : arg))
      untyped.attempt(`argument ${position} = ${describe(value)}`, () => call(...(given as never[])))
    }
  })
  return [...untyped.found]
}

function describe(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? '[]' : '{}'
  return String(value)
}
