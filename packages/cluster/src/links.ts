import type { ClusterDescription } from './description.ts'
import { Draws, type Seed } from './draws.ts'
import { ClusterError } from './errors.ts'
import { shareNetwork } from './networks.ts'

/** The properties of a link from one machine to another. */
export interface Link {
  /** Latency of a frame, in nanoseconds. */
  readonly latencyNs: number
  /** A frame may be earlier or later by up to this; less than the latency. */
  readonly jitterNs: number
  /** Bits a second; Infinity: a frame takes no time of its own. */
  readonly bitsPerSecond: number
  /** The part of frames that is lost. */
  readonly loss: number
}

/** Trouble on a link, besides the link's own properties. Parts are probabilities of each frame. */
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

/** The reason for which a frame did not arrive, or what was done to it on its link. */
export type FrameCause =
  /** The frame was lost by chance: of its link, or of a fault. */
  | 'loss'
  /** The frame was lost: its link was cut. */
  | 'partition'
  /** The frame was lost: the machine that it was for was off. */
  | 'off'
  /** The frame is one of two that became of one. */
  | 'duplicate'
  /** The frame was held up so that later ones may overtake it. */
  | 'reorder'
  /** One of its bits is wrong. */
  | 'corrupt'

/** A frame in flight to a machine. */
export interface Delivery {
  /** Index of the machine. */
  readonly to: number
  /** The instant of its arrival, in the cluster's time; Infinity: it is lost. */
  readonly ns: number
  readonly frame: Uint8Array
  /** The reasons for its loss, or the changes to it. */
  readonly causes: readonly FrameCause[]
}

/** A frame that a machine has sent. */
export interface SentFrame {
  /** Index of the machine. */
  readonly from: number
  /** The instant, in the cluster's time. */
  readonly ns: number
  readonly frame: Uint8Array
}

/** The link from one machine to another. */
interface LinkState {
  readonly properties: Link
  draws: Draws
  trouble: LinkTrouble
  isCut: boolean
  /** The instant until which earlier frames occupy it. */
  busyUntil: number
}

/** The sequence of a link. Its name is a part of each seed's results, and stays. */
const drawsOf = (seed: Seed, from: number, to: number): Draws => new Draws(seed, `way ${from} ${to}`)

const ADDRESS_BYTES = 6

/** The Ethernet address of a machine's card: locally administered, with the prefix that emulators use. */
export const addressOf = (machine: number): Uint8Array =>
  Uint8Array.of(0x52, 0x54, 0, 0x7c, (machine + 1) >> 8, (machine + 1) & 0xff)

/** The machine whose card has the address at this place of a frame. @returns undefined: none of so many machines has it */
export function machineAt(frame: Uint8Array, at: number, machines: number): number | undefined {
  const known = addressOf(0)
  for (let i = 0; i < ADDRESS_BYTES - 2; i++) if (frame[at + i] !== known[i]) return undefined
  const machine = ((frame[at + 4]! << 8) | frame[at + 5]!) - 1
  return machine >= 0 && machine < machines ? machine : undefined
}

/** The place of a sender's address in a frame, behind the receiver's. */
export const SENDER_AT: number = ADDRESS_BYTES

/** A frame to all, or to a group, as it enters one of several machines that share a card: to its address. Others are left as they are. */
export function addressedTo(machine: number, frame: Uint8Array): Uint8Array {
  if ((frame[0]! & 1) === 0) return frame
  const copy = frame.slice()
  copy.set(addressOf(machine))
  return copy
}

/**
 * The network of a cluster. Each link draws from a sequence of its own: what happens to its frames does not depend on those of other
 * links. No frame comes earlier than its link's latency less the jitter, whatever goes wrong.
 */
export class Links {
  readonly #links: (LinkState | undefined)[][]

  /** @param linkOf - the properties of the link from one machine to another; undefined: there is none */
  constructor(seed: Seed, machines: number, linkOf: (from: number, to: number) => Link | undefined) {
    this.#links = Array.from({ length: machines }, (_, from) =>
      Array.from({ length: machines }, (__, to) => {
        const properties = from === to ? undefined : linkOf(from, to)
        if (properties === undefined) return undefined
        return { properties, draws: drawsOf(seed, from, to), trouble: NO_TROUBLE, isCut: false, busyUntil: 0 }
      }),
    )
  }

  /** The same network at the same instant, by itself. */
  copy(): Links {
    const copy = new Links(0, this.#links.length, (from, to) => this.#links[from]![to]?.properties)
    for (const [from, links] of this.#links.entries())
      for (const [to, link] of links.entries())
        if (link !== undefined) copy.#links[from]![to] = { ...link, draws: link.draws.copy() }
    return copy
  }

  /** Draws from the sequences of another seed from now on. */
  reseed(seed: Seed): void {
    for (const [from, links] of this.#links.entries())
      for (const [to, link] of links.entries()) if (link !== undefined) link.draws = drawsOf(seed, from, to)
  }

  /** The least time between the sending of a frame and its arrival, on any link. */
  get lookaheadNs(): number {
    const times = this.#links
      .flat()
      .map((link) => (link === undefined ? Infinity : link.properties.latencyNs - link.properties.jitterNs))
    return Math.min(...times)
  }

  /** Sets what goes wrong on a link. */
  trouble(from: number, to: number, trouble: LinkTrouble): void {
    const link = this.#links[from]?.[to]
    if (link !== undefined) link.trouble = trouble
  }

  /** Cuts a link, or mends it. */
  cut(from: number, to: number, isCut: boolean): void {
    const link = this.#links[from]?.[to]
    if (link !== undefined) link.isCut = isCut
  }

  /** Sends a frame: to the machine that has its address, or to all where nobody has. @returns what becomes of it */
  send({ from, ns, frame }: SentFrame): Delivery[] {
    if (frame.length < ADDRESS_BYTES) return []
    const to = machineAt(frame, 0, this.#links.length)
    const all = to === undefined ? this.#links.keys() : [to]
    return [...all].flatMap((one) => this.#pass(from, one, ns, frame))
  }

  #pass(from: number, to: number, ns: number, frame: Uint8Array): Delivery[] {
    const link = this.#links[from]?.[to]
    if (link === undefined) return []
    const lost = (cause: FrameCause): Delivery[] => [{ to, ns: Infinity, frame, causes: [cause] }]
    if (link.isCut) return lost('partition')
    const { draws, properties, trouble } = link
    if (draws.happens(properties.loss) || draws.happens(trouble.loss)) return lost('loss')
    link.busyUntil = Math.max(ns, link.busyUntil) + Math.ceil((frame.length * 8e9) / properties.bitsPerSecond)
    const count = draws.happens(trouble.duplicate) ? 2 : 1
    return Array.from({ length: count }, () => {
      const isLate = draws.happens(trouble.reorder)
      const late = isLate ? draws.below(REORDER_NS) : 0
      const jitter = properties.jitterNs === 0 ? 0 : draws.below(2 * properties.jitterNs + 1) - properties.jitterNs
      const isCorrupt = draws.happens(trouble.corrupt)
      const causes = { duplicate: count > 1, reorder: isLate, corrupt: isCorrupt }
      return {
        to,
        ns: link.busyUntil + properties.latencyNs + jitter + trouble.delayNs + late,
        frame: isCorrupt ? withWrongBit(frame, draws) : frame,
        causes: (['duplicate', 'reorder', 'corrupt'] as const).filter((cause) => causes[cause]),
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

/** The properties of the link between two machines: the list's, or the usual ones. Undefined: they share no network. */
export function linkBetween({ machines, network }: ClusterDescription, from: number, to: number): Link | undefined {
  if (!shareNetwork(machines[from]!, machines[to]!)) return undefined
  const names = [machines[from]!.name, machines[to]!.name]
  const { latency, jitter, bandwidth, loss } =
    network.links.find(({ between }) => names.every((name) => between.includes(name))) ?? network
  if (jitter >= latency)
    throw new ClusterError('ERR_CLUSTER', `network: the jitter between ${names.join(' and ')} is not below the latency`)
  return { latencyNs: latency, jitterNs: jitter, bitsPerSecond: bandwidth ?? Infinity, loss }
}
