import { Draws } from './draws.ts'

/** A way from one machine to another. */
export interface Link {
  /** Time of a frame on its way, in nanoseconds. */
  readonly latencyNs: number
  /** A frame may be earlier or later by up to this; less than the latency. */
  readonly jitterNs: number
  /** Bits a second; Infinity: a frame takes no time of its own. */
  readonly bitsPerSecond: number
  /** The part of frames that is lost. */
  readonly loss: number
}

/** Trouble on a way, besides the way's own properties. Parts are probabilities of each frame. */
export interface LinkTrouble {
  /** Frames that are lost. */
  readonly loss: number
  /** Frames that come twice. */
  readonly duplicate: number
  /** Frames that are so late that others overtake them. */
  readonly reorder: number
  /** Frames with a wrong bit. */
  readonly corrupt: number
  /** Nanoseconds by which each frame is late. */
  readonly delayNs: number
}

/** No trouble. */
export const NO_TROUBLE: LinkTrouble = { loss: 0, duplicate: 0, reorder: 0, corrupt: 0, delayNs: 0 }

/** The most by which a frame that is out of order is late. */
const REORDER_NS = 5_000_000

/** A frame on its way to a machine. */
export interface Delivery {
  /** Index of the machine. */
  readonly to: number
  /** The instant of its arrival, in the cluster's time. */
  readonly ns: number
  readonly frame: Uint8Array
}

/** A frame that a machine has sent. */
export interface SentFrame {
  /** Index of the machine. */
  readonly from: number
  /** The instant, in the cluster's time. */
  readonly ns: number
  readonly frame: Uint8Array
}

interface Way {
  readonly link: Link
  draws: Draws
  trouble: LinkTrouble
  isCut: boolean
  /** The instant until which earlier frames occupy it. */
  busyUntil: number
}

const ADDRESS_BYTES = 6

/** The Ethernet address of a machine's card: locally administered, with the prefix that emulators use. */
export const addressOf = (machine: number): Uint8Array =>
  Uint8Array.of(0x52, 0x54, 0, 0x7c, (machine + 1) >> 8, (machine + 1) & 0xff)

/**
 * The network of a cluster. Each way between two machines draws from a sequence of its own: what happens to its frames does not
 * depend on those of other ways. No frame comes earlier than its link's latency less the jitter, whatever goes wrong.
 */
export class Links {
  readonly #ways: (Way | undefined)[][]

  /** @param linkOf - the way from one machine to another */
  constructor(seed: number, machines: number, linkOf: (from: number, to: number) => Link) {
    this.#ways = Array.from({ length: machines }, (_, from) =>
      Array.from({ length: machines }, (__, to) =>
        from === to
          ? undefined
          : {
              link: linkOf(from, to),
              draws: new Draws(seed, `way ${from} ${to}`),
              ...{ trouble: NO_TROUBLE, isCut: false, busyUntil: 0 },
            },
      ),
    )
  }

  /** The same network at the same instant, by itself, whose ways draw from the sequences of a seed. */
  copy(seed: number): Links {
    const copy = new Links(seed, this.#ways.length, (from, to) => this.#ways[from]![to]!.link)
    for (const [from, ways] of this.#ways.entries())
      for (const [to, way] of ways.entries())
        if (way !== undefined) copy.#ways[from]![to] = { ...way, draws: copy.#ways[from]![to]!.draws }
    return copy
  }

  /** Draws from the sequences of another seed from now on. */
  reseed(seed: number): void {
    for (const [from, ways] of this.#ways.entries())
      for (const [to, way] of ways.entries()) if (way !== undefined) way.draws = new Draws(seed, `way ${from} ${to}`)
  }

  /** The least time between the sending of a frame and its arrival, on any way. */
  get leastNs(): number {
    const times = this.#ways
      .flat()
      .map((way) => (way === undefined ? Infinity : way.link.latencyNs - way.link.jitterNs))
    return Math.min(...times)
  }

  /** Sets what goes wrong on a way. */
  trouble(from: number, to: number, trouble: LinkTrouble): void {
    const way = this.#ways[from]?.[to]
    if (way !== undefined) way.trouble = trouble
  }

  /** Cuts a way, or mends it. */
  cut(from: number, to: number, isCut: boolean): void {
    const way = this.#ways[from]?.[to]
    if (way !== undefined) way.isCut = isCut
  }

  /** Sends a frame: to the machine that has its address, or to all where nobody has. @returns what arrives, and when */
  send({ from, ns, frame }: SentFrame): Delivery[] {
    if (frame.length < ADDRESS_BYTES) return []
    const to = this.#machineOf(frame)
    const all = to === undefined ? this.#ways.keys() : [to]
    return [...all].flatMap((one) => this.#pass(from, one, ns, frame))
  }

  #machineOf(frame: Uint8Array): number | undefined {
    const known = addressOf(0)
    for (let i = 0; i < ADDRESS_BYTES - 2; i++) if (frame[i] !== known[i]) return undefined
    const machine = ((frame[4]! << 8) | frame[5]!) - 1
    return this.#ways[machine] === undefined ? undefined : machine
  }

  #pass(from: number, to: number, ns: number, frame: Uint8Array): Delivery[] {
    const way = this.#ways[from]?.[to]
    if (way === undefined || way.isCut) return []
    const { draws, link, trouble } = way
    if (draws.happens(link.loss) || draws.happens(trouble.loss)) return []
    way.busyUntil = Math.max(ns, way.busyUntil) + Math.ceil((frame.length * 8e9) / link.bitsPerSecond)
    const count = draws.happens(trouble.duplicate) ? 2 : 1
    return Array.from({ length: count }, () => {
      const late = draws.happens(trouble.reorder) ? draws.below(REORDER_NS) : 0
      const jitter = link.jitterNs === 0 ? 0 : draws.below(2 * link.jitterNs + 1) - link.jitterNs
      return {
        to,
        ns: way.busyUntil + link.latencyNs + jitter + trouble.delayNs + late,
        frame: draws.happens(trouble.corrupt) ? withWrongBit(frame, draws) : frame,
      }
    })
  }
}

/** A frame with a wrong bit behind its addresses: the machine that it is for gets it. */
function withWrongBit(frame: Uint8Array, draws: Draws): Uint8Array {
  const wrong = frame.slice()
  const start = 2 * ADDRESS_BYTES
  if (wrong.length > start) wrong[start + draws.below(wrong.length - start)]! ^= 1 << draws.below(8)
  return wrong
}
