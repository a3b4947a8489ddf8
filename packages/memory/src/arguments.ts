/** Prints a caller's argument for an error message, whatever it is. */
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

/** Tells whether a value is an object with these members, which are functions. */
export function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}
