import { PAGE_BYTES } from '@retrap/memory'
import { XenError } from './errors.ts'
import { GUEST_FRAMES } from './guest-frames.ts'

/** Refuses a value. @param path - names it @throws XenError `ERR_STATE` */
export type Check = (value: unknown, path: string) => void

function refuse(value: unknown, path: string, expected: string): never {
  const text = typeof value === 'object' && value !== null ? 'an object' : String(value).slice(0, 40)
  throw new XenError('ERR_STATE', `Xen's saved state: ${path} is ${text}: expected ${expected}`)
}

/** Throws if a condition does not hold. */
export function demand(holds: boolean, value: unknown, path: string, expected: string): asserts holds {
  if (!holds) refuse(value, path, expected)
}

/** A whole number of a range. */
export const whole =
  (least: number, most: number): Check =>
  (value, path) =>
    demand(
      Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
      value,
      path,
      `a whole number from ${least} to ${most}`,
    )

export const flag: Check = (value, path) => demand(typeof value === 'boolean', value, path, 'true or false')

/** A text of a form. */
export const text =
  (form: RegExp, most: number): Check =>
  (value, path) =>
    demand(typeof value === 'string' && value.length <= most && form.test(value), value, path, String(form))

/** Checks for bytes of one of these lengths. */
export const bytes =
  (least: number, most: number): Check =>
  (value, path) =>
    demand(
      value instanceof Uint8Array && value.length >= least && value.length <= most,
      value,
      path,
      `${least} to ${most} bytes`,
    )

/** Checks for a value of one kind, or null. */
export const orNull =
  (check: Check): Check =>
  (value, path) => {
    if (value !== null) check(value, path)
  }

/** A list. @param most - elements @param least - elements; default none */
export const list =
  (check: Check, most: number, least: number = 0): Check =>
  (value, path) => {
    demand(
      Array.isArray(value) && value.length >= least && value.length <= most,
      value,
      path,
      `a list of ${least} to ${most}`,
    )
    for (const [i, each] of (value as unknown[]).entries()) check(each, `${path}[${i}]`)
  }

/** A list of as many elements as there are checks. */
export const tuple =
  (...checks: readonly Check[]): Check =>
  (value, path) => {
    demand(Array.isArray(value) && value.length === checks.length, value, path, `a list of ${checks.length}`)
    for (const [i, check] of checks.entries()) check((value as unknown[])[i], `${path}[${i}]`)
  }

/** An object with these fields. */
export const fields =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value, path) => {
    demand(typeof value === 'object' && value !== null, value, path, 'an object')
    for (const [name, check] of Object.entries(checks))
      check((value as Readonly<Record<string, unknown>>)[name], `${path}.${name}`)
  }

/** An object of one of several kinds. @param by - the field that says which */
export const oneOf =
  (by: string, checks: Readonly<Record<string, Check>>): Check =>
  (value, path) => {
    demand(typeof value === 'object' && value !== null, value, path, 'an object')
    const kind = (value as Readonly<Record<string, unknown>>)[by]
    const check = typeof kind === 'string' && Object.hasOwn(checks, kind) ? checks[kind] : undefined
    if (check === undefined) refuse(kind, `${path}.${by}`, Object.keys(checks).join(' or '))
    check(value, path)
  }

const WORD = whole(0, 0xffff_ffff)
/** 64 bits, as two words. */
export const word64: Check = fields({ lo: WORD, hi: WORD })

/** A page of Xen's own: `SavedPage`. */
export const savedPage: Check = fields({ gfn: whole(-1, GUEST_FRAMES - 1), contents: bytes(PAGE_BYTES, PAGE_BYTES) })
