/** Finds the row that an encoding belongs to. */
import type { Form } from './row.ts'

/** A place where a few bits are looked at; leaves are the rows that are left, in order of precedence. */
interface Branch {
  readonly shift: number
  readonly mask: number
  readonly next: readonly (Branch | readonly Form[])[]
}

/** Number of bits tested by one branch. */
const WIDTH = 5
/** Number of rows that are tested one by one. */
const FEW = 4

/** A tree of rows by their distinguishing bits, grown on first use. */
export class Matcher {
  readonly forms: readonly Form[]
  #root: Branch | readonly Form[] | undefined

  /** @param forms - in order of precedence */
  constructor(forms: readonly Form[]) {
    this.forms = forms
    this.#root = undefined
  }

  /** Returns the first row that matches and accepts an encoding; undefined if none. */
  find(word: number, accept: (form: Form, word: number) => boolean): Form | undefined {
    let at = (this.#root ??= grow(this.forms, 0))
    while (!Array.isArray(at)) {
      const { shift, mask, next } = at as Branch
      at = next[(word >>> shift) & mask]!
    }
    for (const form of at as readonly Form[]) {
      if (((word & form.mask) ^ form.value) === 0 && accept(form, word)) return form
    }
    return undefined
  }
}

/** Splits rows by bits that most of them fix, and that no branch above has tested. */
function grow(forms: readonly Form[], seen: number): Branch | readonly Form[] {
  if (forms.length <= FEW) return forms
  const mask = (1 << WIDTH) - 1
  let best = 0
  let shift = -1
  for (let each = 0; each <= 32 - WIDTH; each++) {
    let fixed = 0
    for (const form of forms) fixed += ones(((form.mask & ~seen) >>> each) & mask)
    if (fixed >= best) {
      best = fixed
      shift = each
    }
  }
  // Rows that fix fewer than one of the bits each would only be copied.
  if (best < forms.length) return forms
  const next = Array.from({ length: mask + 1 }, (_, bits) => {
    const left = forms.filter((form) => ((bits ^ (form.value >>> shift)) & (form.mask >>> shift) & mask) === 0)
    return grow(left, seen | (mask << shift))
  })
  return { shift, mask, next }
}

/** Counts the bits that are set. */
export function ones(bits: number): number {
  let count = 0
  for (let left = bits; left !== 0; left &= left - 1) count++
  return count
}
