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
]

/**
 * Calls a function with each of its arguments replaced by each value, and lists the errors that are not typed.
 *
 * @param call - the function; a class is called by a function that constructs it
 * @param args - arguments that are right
 * @param typed - the package's error class
 * @returns a line for each error of another class
 */
export function misuses(
  call: (...args: never[]) => unknown,
  args: readonly unknown[],
  typed: abstract new (...args: never[]) => Error,
): string[] {
  const found: string[] = []
  args.forEach((_, position) => {
    for (const value of VALUES) {
      const given = args.map((arg, i) => (i === position ? value : arg))
      try {
        call(...(given as never[]))
      } catch (error) {
        if (error instanceof typed) continue
        found.push(`argument ${position} = ${describe(value)}: ${String(error)}`)
      }
    }
  })
  return found
}

function describe(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? '[]' : '{}'
  return String(value)
}
