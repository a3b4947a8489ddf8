import type { CodeTranslation } from '@retrap/engine'

/** What {@link ArmHost.translate} fills in. */
export interface ArmTranslation extends CodeTranslation {
  /** Machine address of the byte where plain memory holds it, else −1. */
  ma: number
  /** May be written. */
  writable: boolean
  /** May go into the TLB. */
  cacheable: boolean
  /** Valid whatever the address space. */
  global: boolean
  /** Bytes of the page that the guest's tables map. */
  pageBytes: number
  /** Of the engine's TLB; 0. */
  key: number
  /** Why there is no translation: a fault status code of an abort's syndrome. */
  faultStatus: number
}

/** Kind of an access that is translated: a read. */
export const TRANSLATE_READ = 0
/** A write. */
export const TRANSLATE_WRITE = 1
/** A fetch of an instruction. */
export const TRANSLATE_FETCH = 2

/** The virtual counter of the generic timer, which programs read the time from. */
export interface ArmCounter {
  /** Ticks in a second: CNTFRQ_EL0. */
  readonly frequency: number
  /** Ticks until now: CNTVCT_EL0. */
  count(): bigint
}

/** The world around a processor. */
export interface ArmHost {
  /** The counter; the registers of a processor without one are undefined. */
  readonly counter?: ArmCounter
  /**
   * Translates the address of one byte.
   *
   * @param lo - low word of the virtual address, unsigned
   * @param hi - high word
   * @param access - `TRANSLATE_*`
   * @param into - filled in
   * @returns whether there is a translation; else `faultStatus` says why not
   */
  translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean
}

/** Makes the result of a translation, for its owner to reuse. */
export function newTranslation(): ArmTranslation {
  return { ma: -1, writable: false, cacheable: false, global: false, pageBytes: 4096, key: 0, faultStatus: 0 }
}
