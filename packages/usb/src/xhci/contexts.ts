/** Bytes of a context: HCCPARAMS1 announces the small size. */
export const CONTEXT_BYTES = 32
/** Number of a device's contexts: the slot's, endpoint 0's, and fifteen endpoints in each direction. */
export const CONTEXTS = 32

/** States of a slot, as in its context. Source: xHCI 1.2, table 6-7. */
export const SLOT = { ENABLED: 0, DEFAULT: 1, ADDRESSED: 2, CONFIGURED: 3 } as const

/** States of an endpoint. Source: xHCI 1.2, table 6-8. */
export const ENDPOINT = { DISABLED: 0, RUNNING: 1, HALTED: 2, STOPPED: 3, ERROR: 4 } as const

/** Types of endpoint. Source: xHCI 1.2, table 6-9. */
export const KIND = {
  BULK_OUT: 2,
  INTERRUPT_OUT: 3,
  CONTROL: 4,
  BULK_IN: 6,
  INTERRUPT_IN: 7,
} as const
const KINDS: readonly number[] = Object.values(KIND)

/** Endpoint 0's index in a device context. */
export const CONTROL_INDEX = 1

/** A slot context. Source: xHCI 1.2, §6.2.2, "Slot Context". */
export interface SlotContext {
  readonly route: number
  readonly speed: number
  readonly entries: number
  readonly port: number
  readonly interrupter: number
}

export function readSlot(view: DataView, at: number): SlotContext {
  const first = view.getUint32(at, true)
  return {
    route: first & 0xf_ffff,
    speed: (first >>> 20) & 0xf,
    entries: first >>> 27,
    port: view.getUint8(at + 6),
    interrupter: view.getUint32(at + 8, true) >>> 22,
  }
}

/** An endpoint context. Source: xHCI 1.2, §6.2.3, "Endpoint Context". */
export interface EndpointContext {
  readonly kind: number
  /** Interval in units of 125 µs: a power of two. */
  readonly interval: number
  readonly maximumPacket: number
  readonly dequeueLo: number
  readonly dequeueHi: number
}

/** @returns null for an unsupported endpoint: one with streams, or an isochronous one */
export function readEndpoint(view: DataView, at: number, index: number): EndpointContext | null {
  const first = view.getUint32(at, true)
  const second = view.getUint32(at + 4, true)
  const kind = (second >>> 3) & 7
  const fits =
    index === CONTROL_INDEX ? kind === KIND.CONTROL : kind === KIND.CONTROL || isIn(kind) === ((index & 1) === 1)
  const hasStreams = ((first >>> 10) & 0x1f) !== 0
  if (!KINDS.includes(kind) || !fits || hasStreams) return null
  return {
    kind,
    interval: 2 ** Math.min(15, (first >>> 16) & 0xff),
    maximumPacket: second >>> 16,
    dequeueLo: view.getUint32(at + 8, true),
    dequeueHi: view.getUint32(at + 12, true),
  }
}

export const isIn = (kind: number): boolean => kind === KIND.BULK_IN || kind === KIND.INTERRUPT_IN
export const isInterrupt = (kind: number): boolean => kind === KIND.INTERRUPT_IN || kind === KIND.INTERRUPT_OUT

/** The address of an endpoint by its index in a device context. */
export const addressOf = (index: number): number => (index >> 1) | ((index & 1) === 0 ? 0 : 0x80)
/** The reverse: endpoint 0 is index 1 either way. */
export const indexOf = (address: number): number =>
  (address & 0x0f) === 0 ? CONTROL_INDEX : 2 * (address & 0x0f) + (address >> 7)
