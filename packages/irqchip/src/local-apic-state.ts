import { fieldsPart, type StatePart, viewed } from '@retrap/device'
import * as apicRegisters from './apic-registers.ts'
import { W } from './apic-registers.ts'
import { bitOf, listedWords, namedWords } from './saved-words.ts'

/** Bit of the event word: an ExtINT came as a message; `EVENT_EXTINT` accompanies it. */
export const EXTINT_MESSAGE: number = 1 << 8
/** Word of each LVT entry, by the name that saved states have for it. */
export const LVT: Readonly<Record<'cmci' | 'timer' | 'thermal' | 'performance' | 'lint0' | 'lint1' | 'error', number>> =
  {
    cmci: W.LVT_CMCI,
    timer: W.LVT_TIMER,
    thermal: W.LVT_THERMAL,
    performance: W.LVT_PMC,
    lint0: W.LVT_LINT0,
    lint1: W.LVT_LINT1,
    error: W.LVT_ERROR,
  }
/** Words of the registers that are saved unchanged. */
const REGISTERS = {
  baseLo: W.BASE_LO,
  baseHi: W.BASE_HI,
  logicalDestination: W.LDR,
  destinationFormat: W.DFR,
  spuriousVector: W.SVR,
  errorStatus: W.ESR,
  errors: W.ERRORS,
  commandLo: W.ICR,
  commandHi: W.ICR2,
}

/** Returns the record of the parts that save a local APIC whose state is `words`. */
export function localApicRecord(
  words: Int32Array,
  taskPriority: StatePart,
  timer: StatePart,
): { readonly registers: StatePart; readonly [name: string]: unknown } {
  const vectors = (first: number): Uint32Array => listedWords(words, first, apicRegisters.VECTOR_WORDS)
  return {
    version: 3,
    registers: namedWords(words, REGISTERS),
    taskPriority,
    // Each list begins with the lowest vectors.
    vectors: fieldsPart({ requests: vectors(W.IRR), inService: vectors(W.ISR), triggerMode: vectors(W.TMR) }),
    lvt: fieldsPart(
      { entries: namedWords(words, LVT), pins: [bitOf(words, W.LINT, 1), bitOf(words, W.LINT, 2)] },
      { flat: ['entries'] },
    ),
    timer,
    events: fieldsPart({
      nmi: bitOf(words, W.EVENTS, apicRegisters.EVENT_NMI),
      smi: bitOf(words, W.EVENTS, apicRegisters.EVENT_SMI),
      init: bitOf(words, W.EVENTS, apicRegisters.EVENT_INIT),
      // Vector of a pending start-up message; −1: none.
      startup: viewed(
        () => ((words[W.EVENTS]! & apicRegisters.EVENT_SIPI) === 0 ? -1 : words[W.SIPI_VECTOR]!),
        (vector) => {
          words[W.SIPI_VECTOR] = Math.max(0, vector)
          words[W.EVENTS]! &= ~apicRegisters.EVENT_SIPI
          if (vector >= 0) words[W.EVENTS]! |= apicRegisters.EVENT_SIPI
        },
      ),
      extInt: bitOf(words, W.EVENTS, EXTINT_MESSAGE),
    }),
  }
}
