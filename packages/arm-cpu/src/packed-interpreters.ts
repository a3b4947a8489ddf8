// Interpreters generated ahead: a program that keeps them in a file starts a second of processor time sooner.
import { packInterpreters as pack, unpackInterpreters } from '@retrap/engine'
import { FIXED_MA } from '@retrap/memory'
import { interpreterFor } from './engine.ts'
import { allForms } from './interpreter.ts'
import type { FormSource } from './semantics.ts'

let byKey: ReadonlyMap<string, FormSource> | undefined

/** The form that has a key. */
export function formOfKey(key: string): FormSource {
  if (byKey === undefined) {
    const found = new Map<string, FormSource>()
    // Several rows of AArch32 share forms: the first counts.
    for (const source of allForms()) if (!found.has(source.form.key)) found.set(source.form.key, source)
    byKey = found
  }
  return byKey.get(key) as FormSource
}

/**
 * Generates the interpreters of machines that compile hot code, with private and with shared memory, for
 * {@link useInterpreters}. Compress the result: 3.3 MB become 131 KB by Brotli.
 */
export function packInterpreters(): Uint8Array {
  const kinds = [false, true].map((shared) => ({
    shared,
    hotAt: FIXED_MA,
    code: interpreterFor(shared, FIXED_MA).code,
  }))
  return pack(kinds, () => 0)
}

/**
 * Has the machines of this process that are made from now on use interpreters that were generated ahead.
 *
 * @param packed - what {@link packInterpreters} returned, of the very modules that run now: an interpreter of another version
 *   of this package, or of one that it depends on, goes wrong in ways that nobody notices at once
 * @throws EngineError `ERR_PACKED_INTERPRETERS` for something else
 */
export function useInterpreters(packed: Uint8Array): void {
  for (const { shared, hotAt, code } of unpackInterpreters(packed, formOfKey)) interpreterFor(shared, hotAt, code)
}
