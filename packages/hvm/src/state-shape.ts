import { HvmError } from './errors.ts'

/**
 * Refuses a saved state that lacks a field of what the same party saves now, or has one of another kind. A field that is
 * null on either side may be anything on the other; what an array holds is like its first element here.
 *
 * @param path - names the state in the error
 * @throws HvmError `ERR_STATE`, with the path of the field
 */
export function checkShape(path: string, given: unknown, own: unknown): void {
  if (own === null || given === null) return
  if (kindOf(given) !== kindOf(own)) {
    throw new HvmError('ERR_STATE', `${path} is ${kindOf(given)}: expected ${kindOf(own)}`)
  }
  if (ArrayBuffer.isView(own)) return
  if (Array.isArray(own)) {
    const [first] = own as unknown[]
    if (first === undefined) return
    for (const [i, each] of (given as unknown[]).entries()) checkShape(`${path}[${i}]`, each, first)
  } else if (typeof own === 'object') {
    for (const [name, value] of Object.entries(own as object)) {
      checkShape(`${path}.${name}`, (given as Record<string, unknown>)[name], value)
    }
  }
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return 'an array'
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
