/** Saved states of controllers, whose words lie in machine memory. */
import { Stateful, type StatePart, viewed } from '@retrap/device'
import { IrqchipError } from './arguments.ts'

/** A controller whose state is a table: a saved state that does not fit throws an {@link IrqchipError}. */
export abstract class Controller extends Stateful {
  protected override refuseState(text: string): never {
    throw new IrqchipError('ERR_STATE', text)
  }
}

/**
 * Returns a part that saves words of a controller's state under names, unsigned.
 *
 * @param table - place of each word
 * @param block - word that the places count from
 */
export function namedWords(words: Int32Array, table: Readonly<Record<string, number>>, block = 0): StatePart {
  return viewed(
    () => {
      const state: Record<string, number> = {}
      for (const name in table) state[name] = words[block + table[name]!]! >>> 0
      return state
    },
    (state) => {
      for (const name in table) words[block + table[name]!] = state[name]!
    },
  )
}

/** Returns a part that saves consecutive words as a list, unsigned. */
export function listedWords(words: Int32Array, first: number, count: number): Uint32Array {
  return new Uint32Array(words.buffer, words.byteOffset + 4 * first, count)
}

/** Returns a part that saves a bit of a word as true or false. */
export function bitOf(words: Int32Array, index: number, mask: number): StatePart {
  return viewed(
    () => (words[index]! & mask) !== 0,
    (isSet) => {
      words[index] = isSet ? words[index]! | mask : words[index]! & ~mask
    },
  )
}
