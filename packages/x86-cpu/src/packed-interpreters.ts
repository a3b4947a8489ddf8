// Interpreters generated ahead: a program that keeps them in a file starts a second of processor time sooner.
import { packInterpreters as pack, unpackInterpreters } from '@retrap/engine'
import { FIXED_MA } from '@retrap/memory'
import { codeInfo, codes } from '@retrap/x86-decoder'
import type { CodeInfo } from '@retrap/x86-decoder'
import type { FormSource } from './form-context.ts'
import { variantsOf } from './code-forms.ts'
import { interpreterFor, sourceOf } from './engine.ts'
import { isImplemented } from './features.ts'
import { formKey } from './semantics/form.ts'

function sourcesOf(info: CodeInfo): FormSource[] {
  return [...variantsOf(info)].map((variant) => sourceOf(info, variant)).filter((source) => source !== undefined)
}

/** The code that each form is generated for: the first that has it. */
function codesByForm(): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const info of codes) {
    if (!isImplemented(info)) continue
    for (const { form } of sourcesOf(info)) {
      const key = formKey(form)
      if (!found.has(key)) found.set(key, info.code)
    }
  }
  return found
}

/** The form of a code that has a key. */
export const formOfCode = (key: string, code: number): FormSource =>
  sourcesOf(codeInfo(code)).find((one) => formKey(one.form) === key) as FormSource

/**
 * Generates the interpreters of machines that compile hot code, with private and with shared memory, for
 * {@link useInterpreters}. Compress the result: 2.4 MB become 115 KB by Brotli.
 */
export function packInterpreters(): Uint8Array {
  const codeOf = codesByForm()
  const kinds = [false, true].map((shared) => ({
    shared,
    hotAt: FIXED_MA,
    code: interpreterFor(shared, undefined, FIXED_MA).code,
  }))
  return pack(kinds, (key) => codeOf.get(key)!)
}

/**
 * Has the machines of this process that are made from now on use interpreters that were generated ahead.
 *
 * @param packed - what {@link packInterpreters} returned, of the very modules that run now: an interpreter of another version
 *   of this package, or of one that it depends on, goes wrong in ways that nobody notices at once
 * @throws EngineError `ERR_PACKED_INTERPRETERS` for something else
 */
export function useInterpreters(packed: Uint8Array): void {
  for (const { shared, hotAt, code } of unpackInterpreters(packed, formOfCode))
    interpreterFor(shared, undefined, hotAt, code)
}
