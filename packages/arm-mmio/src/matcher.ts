/** Finds the row that an encoding belongs to. */
import type { Form } from './row.ts'

/** Rows by the bits that tell most of them apart. */
export class Matcher {
  readonly forms: readonly Form[]
  readonly #shift: number
  readonly #mask: number
  readonly #buckets: readonly (readonly Form[])[]

  /**
   * @param forms - in order of precedence
   * @param shift, width - the bits of an encoding by which rows are found
   */
  constructor(forms: readonly Form[], shift: number, width: number) {
    this.forms = forms
    this.#shift = shift
    this.#mask = (1 << width) - 1
    this.#buckets = Array.from({ length: 1 << width }, (_, bits) =>
      forms.filter((form) => {
        const mask = (form.mask >>> shift) & this.#mask
        return (bits & mask) === ((form.value >>> shift) & this.#mask & mask)
      }),
    )
  }

  /** The rows an encoding may belong to, the first that matches before the others; none if it is no load or store. */
  find(word: number, accept: (form: Form, word: number) => boolean): Form | undefined {
    const bucket = this.#buckets[(word >>> this.#shift) & this.#mask]!
    for (const form of bucket) {
      if (((word & form.mask) ^ form.value) === 0 && accept(form, word)) return form
    }
    return undefined
  }
}
