import type { GuestAccess } from './guest-access.ts'
import { FLAG, pointerOf, type Trb, TRB, TRB_BYTES, typeOf } from './trb.ts'

/** A consumer's position on a ring. */
export interface RingPlace {
  /** Guest-physical address of the next TRB. */
  readonly address: number
  /** The cycle bit of TRBs that are the consumer's. */
  readonly cycle: number
}

/** Most TRBs of one transfer, including links: enough for 16 MiB in pages. */
const MOST_TRBS = 4096

/**
 * The next entries of a ring: none; an address that is not RAM; more TRBs than are taken at once; or some, and the place to
 * continue.
 *
 * `looked` is how many TRBs were read to know that.
 */
export type Fetched = { readonly looked: number } & (
  | { readonly kind: 'empty' }
  | { readonly kind: 'unreachable' }
  | { readonly kind: 'endless'; readonly trbs: readonly Trb[] }
  | { readonly kind: 'trbs'; readonly trbs: readonly Trb[]; readonly next: RingPlace }
)

/** A place from the two words that commands and contexts have. */
export function placeOf(lo: number, hi: number): RingPlace {
  return { address: hi * 2 ** 32 + ((lo & ~0xf) >>> 0), cycle: lo & 1 }
}

/**
 * Reads the TRBs that belong together: up to one without a chain bit. Nothing is taken where the last one is not there yet.
 *
 * Source: xHCI 1.2, §4.9.2, "Transfer Ring Management", and §4.11.5.1, "Link TRB".
 */
export function fetchTrbs(memory: GuestAccess, from: RingPlace): Fetched {
  const trbs: Trb[] = []
  let { address, cycle } = from
  while (trbs.length < MOST_TRBS) {
    const view = memory.view(address, TRB_BYTES)
    if (view === null) return { kind: 'unreachable', looked: trbs.length + 1 }
    const trb: Trb = {
      address,
      lo: view.getUint32(0, true),
      hi: view.getUint32(4, true),
      status: view.getUint32(8, true),
      control: view.getUint32(12, true),
    }
    if ((trb.control & FLAG.CYCLE) !== cycle) return { kind: 'empty', looked: trbs.length + 1 }
    trbs.push(trb)
    if (typeOf(trb) === TRB.LINK) {
      address = pointerOf(trb) - (trb.lo & 0xf)
      if ((trb.control & FLAG.TOGGLE_CYCLE) !== 0) cycle ^= 1
      continue
    }
    address += TRB_BYTES
    if ((trb.control & FLAG.CHAIN) === 0) return { kind: 'trbs', looked: trbs.length, trbs, next: { address, cycle } }
  }
  return { kind: 'endless', looked: trbs.length, trbs }
}
