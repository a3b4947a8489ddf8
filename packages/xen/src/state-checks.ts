import type { Word64 } from '@retrap/device'
import { PAGE_BYTES } from '@retrap/memory'
import { XenError } from './errors.ts'
import { GUEST_FRAMES } from './guest-frames.ts'
import type { SavedPage } from './memory/xen-memory.ts'

/** Returns a value of the type that it has been found to be. @param path - names it @throws XenError `ERR_STATE` */
export type Check<T> = (value: unknown, path: string) => T

function refuse(value: unknown, path: string, expected: string): never {
  const text = typeof value === 'object' && value !== null ? 'an object' : String(value).slice(0, 40)
  throw new XenError('ERR_STATE', `Xen's saved state: ${path} is ${text}: expected ${expected}`)
}

/** Throws if a condition does not hold. */
export function demand(holds: boolean, value: unknown, path: string, expected: string): asserts holds {
  if (!holds) refuse(value, path, expected)
}

/** Returns a check of a condition, which gives a value of that type. */
const that =
  <T>(condition: (value: T) => boolean, expected: string): Check<T> =>
  (value, path) => {
    demand(condition(value as T), value, path, expected)
    return value as T
  }

/** A whole number of a range. */
export const whole = (least: number, most: number): Check<number> =>
  that(
    (value) => Number.isSafeInteger(value) && value >= least && value <= most,
    `a whole number from ${least} to ${most}`,
  )

export const flag: Check<boolean> = that((value) => typeof value === 'boolean', 'true or false')

export const text = (form: RegExp, most: number): Check<string> =>
  that((value) => typeof value === 'string' && value.length <= most && form.test(value), String(form))

/** Checks for bytes of one of these lengths. */
export const bytes = (least: number, most: number): Check<Uint8Array> =>
  that(
    (value) => value instanceof Uint8Array && value.length >= least && value.length <= most,
    `${least} to ${most} bytes`,
  )

/** Checks for a value of one kind, or null. */
export const orNull =
  <T>(check: Check<T>): Check<T | null> =>
  (value, path) =>
    value === null ? null : check(value, path)

/** A list. @param most - elements @param least - elements; default none */
export const list = <T>(check: Check<T>, most: number, least: number = 0): Check<readonly T[]> => {
  const ofLength = that<readonly T[]>(
    (value) => Array.isArray(value) && value.length >= least && value.length <= most,
    `a list of ${least} to ${most}`,
  )
  return (value, path) => {
    for (const [i, each] of ofLength(value, path).entries()) check(each, `${path}[${i}]`)
    return value as readonly T[]
  }
}

/** A list of as many elements as there are checks. */
export const tuple =
  <T extends readonly unknown[]>(...checks: { readonly [I in keyof T]: Check<T[I]> }): Check<T> =>
  (value, path) => {
    demand(Array.isArray(value) && value.length === checks.length, value, path, `a list of ${checks.length}`)
    for (const [i, check] of checks.entries()) check((value as unknown[])[i], `${path}[${i}]`)
    return value as unknown as T
  }

const object = that<Readonly<Record<string, unknown>>>(
  (value) => typeof value === 'object' && value !== null,
  'an object',
)

/** An object with these fields. */
export const fields =
  <T extends object>(checks: { readonly [N in keyof T]: Check<T[N]> }): Check<Readonly<T>> =>
  (value, path) => {
    const given = object(value, path)
    for (const [name, check] of Object.entries<Check<unknown>>(checks)) check(given[name], `${path}.${name}`)
    return value as Readonly<T>
  }

/** An object of one of several kinds. @param by - the field that says which */
export const oneOf =
  <T>(by: string, checks: Readonly<Record<string, Check<T>>>): Check<T> =>
  (value, path) => {
    const kind = object(value, path)[by]
    const check = typeof kind === 'string' && Object.hasOwn(checks, kind) ? checks[kind] : undefined
    return check === undefined ? refuse(kind, `${path}.${by}`, Object.keys(checks).join(' or ')) : check(value, path)
  }

const WORD = whole(0, 0xffff_ffff)
/** 64 bits, as two words. */
export const word64: Check<Word64> = fields({ lo: WORD, hi: WORD })

/** A page of Xen's own: `SavedPage`. */
export const savedPage: Check<SavedPage> = fields({
  gfn: whole(-1, GUEST_FRAMES - 1),
  contents: bytes(PAGE_BYTES, PAGE_BYTES),
})
