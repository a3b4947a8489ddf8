import { TestNetwork } from '@retrap/device/test-machine'
import { E1000Machine, ENTRIES, MAC, RECEIVE_RING, TRANSMIT_RING } from './e1000-machine.ts'
import type { Choose } from './random-ide.ts'

const ICR = 0xc0
const RCTL = 0x100
const TCTL = 0x400
const RDH = 0x2810
const RDT = 0x2818
const TDH = 0x3810
const TDT = 0x3818
const RESET = 1 << 26
const ENABLE = 0x02
const SOURCES = 0x8_0000
const SOURCE_BYTES = 0x4_0000

/** Registers that a hostile driver would aim at: control, rings and delays. */
const TARGETS = [
  ...[0x00, 0x10, 0x14, 0x18, 0x20, 0xc0, 0xc4, 0xc8, 0xd0, 0xd8, 0x100, 0x400, 0x1000],
  ...[0x2800, 0x2804, 0x2808, 0x2810, 0x2818, 0x2820, 0x282c, 0x2c00],
  ...[0x3800, 0x3804, 0x3808, 0x3810, 0x3818, 0x3820, 0x3828, 0x382c, 0x5000, 0x5200, 0x5404, 0x5600],
]
/** Calls of DMA for two batches: descriptors with their data and status, and frames of a loop over 64 buffers each. */
const MOST_CALLS = 2 * 256 * (3 + 64 * 3)
const BATCH_NS = 10_000
/** Largest packet to be cut, twice: one that is gathered, and one on its way. */
const MOST_BYTES = 2 * 0x4_0000

/** A network that is full at times, and that answers while it is sent to. */
class RandomNetwork extends TestNetwork {
  /** Frames that the card has not taken. */
  readonly kept: Uint8Array[] = []
  /** Frames that the card has taken. */
  taken = 0
  /** Whether it answers while it is sent to. */
  replies = true
  #replies = 0

  override send(frame: Uint8Array): boolean {
    if (!super.send(frame)) return false
    if (!this.replies) return true
    // Now and then the answer is there at once, and there is room as soon as there was none.
    if (++this.#replies % 7 === 0) this.offer(frame.slice(0, 64))
    if (this.#replies % 11 === 0) this.client!.drained()
    return true
  }

  override ready(): void {
    super.ready()
    this.offerKept()
  }

  offerKept(): void {
    while (this.kept.length > 0 && this.client!.receive(this.kept[0]!)) {
      this.kept.shift()
      this.taken++
    }
  }

  offer(frame: Uint8Array): void {
    if (this.kept.length > 50) return
    this.kept.push(frame)
    if (this.kept.length === 1) this.offerKept()
  }

  /** Takes over what another one keeps, and how far it is. */
  adopt(other: RandomNetwork): void {
    this.kept.push(...other.kept)
    this.room = other.room
    this.linkUp = other.linkUp
    this.#replies = other.#replies
    this.replies = other.replies
  }
}

/** A card whose driver may do anything, at a network that is full at times, and a watch on what it does. */
export class RandomE1000 {
  readonly network = new RandomNetwork()
  readonly card: E1000Machine
  /** The first thing that went wrong. */
  violation: string | undefined
  #calls = 0
  #master = true
  #paused = false

  constructor() {
    this.card = new E1000Machine({ network: this.network }, (dma) => ({
      ...dma,
      read: (gpa, into) => {
        this.#count(`${into.length} bytes are read at ${gpa}`, into.length === 16 ? RCTL : TCTL, TCTL)
        return dma.read(gpa, into)
      },
      write: (gpa, from) => {
        // A sent descriptor's status is one byte.
        const register = from.length === 1 ? TCTL : RCTL
        this.#count(`${from.length} bytes are written at ${gpa}`, register, from.length === 1 ? RCTL : register)
        return dma.write(gpa, from)
      },
    }))
    this.card.start()
  }

  #fail(what: string): void {
    this.violation ??= what
  }

  /** What is done to memory needs one of two parts of the card to be on. */
  #count(what: string, ...registers: readonly number[]): void {
    if (++this.#calls > MOST_CALLS) this.#fail('too much work for one access')
    if (!this.#master) this.#fail(`${what} while bus mastering is off`)
    if (this.#paused) this.#fail(`${what} while it is quiesced`)
    if (registers.every((register) => (this.card.read(register) & ENABLE) === 0)) this.#fail(`${what} while it is off`)
  }

  master(on: boolean): void {
    this.#master = on
    this.card.master(on)
  }

  #frame(choose: Choose): Uint8Array {
    const length = choose(6) === 0 ? choose(20_000) : 20 + choose(1500)
    const first = choose(3) === 0 ? [255, 255, 255, 255, 255, 255] : MAC
    const kind = choose(2) === 0 ? [8, 0, 0x45] : [0x81, 0, choose(256), choose(256), 8, 0, 0x45]
    return Uint8Array.from({ length }, (_, i) => first[i] ?? kind[i - 12] ?? (length >>> (i % 13)) & 255)
  }

  #descriptor(choose: Choose): void {
    const { view, machine } = this.card
    const at = TRANSMIT_RING + 16 * choose(ENTRIES)
    const isLie = choose(6) === 0
    const gpa = isLie ? choose(2 ** 31) * 2 : SOURCES + choose(SOURCE_BYTES)
    view.setUint32(at, gpa, true)
    view.setUint32(at + 4, isLie ? choose(2) : 0, true)
    const bytes = choose(6) === 0 ? choose(2 ** 20) : choose(3000)
    const command = choose(4) === 0 ? choose(256) : [0x09, 0x0b, 0x29, 0x2d, 0x2c, 0xa9, 0x08][choose(7)]!
    view.setUint32(at + 8, bytes | (choose(4) === 0 ? 0 : 1 << 20) | (command << 24), true)
    view.setUint32(at + 12, choose(2 ** 32), true)
    machine.ram[at + 12] = 0
  }

  #context(choose: Choose): void {
    const { view, machine } = this.card
    const at = TRANSMIT_RING + 16 * choose(ENTRIES)
    machine.ram.set([14, 24, 33, 0, 34, 50, 0, 0], at)
    if (choose(3) === 0) machine.ram[at + choose(8)] = choose(256)
    view.setUint32(at + 8, choose(0x2_0000) | ((0x20 + choose(16)) << 24), true)
    view.setUint8(at + 13, choose(3) === 0 ? choose(256) : 54)
    view.setUint16(at + 14, choose(3) === 0 ? choose(0x1_0000) : 1 + choose(1460), true)
  }

  /** Does one thing that a driver, or the network, may do. */
  act(choose: Choose): void {
    const { network } = this
    const before = network.sent.length
    this.#calls = 0
    this.#act(choose)
    // A batch, and what follows it in the time that a step takes.
    if (network.sent.length - before > 256 * 1000) this.#fail(`${network.sent.length - before} frames are sent at once`)
    if (network.sent.some(({ length }, i) => i >= before && length > network.maximumBytes)) this.#fail('a long frame')
  }

  #act(choose: Choose): void {
    const { card, network } = this
    switch (choose(20)) {
      case 0:
      case 1: {
        const value = choose(2) === 0 ? choose(2 ** 32) : [0, 1, 15, 16, 0x80, 0xffff, 0xffff_ffff][choose(7)]!
        return card.write(TARGETS[choose(TARGETS.length)]!, value)
      }
      case 2:
        return void card.read(4 * choose(0x8000))
      case 3:
      case 4:
        return this.#descriptor(choose)
      case 5:
        return this.#context(choose)
      case 6:
        card.view.setUint32(RECEIVE_RING + 4 * choose(64), choose(2 ** 32), true)
        return undefined
      case 7:
      case 8:
        return network.offer(this.#frame(choose))
      case 9:
        network.room = choose(4) === 0 ? Infinity : choose(12)
        return network.client!.drained()
      case 10:
        network.linkUp = choose(4) > 0
        return network.client!.linkChanged(network.linkUp)
      case 11:
        return this.master(choose(3) > 0)
      case 12:
        // Off, or a reset of all, with packets in flight.
        if (choose(2) === 0) return card.write(choose(2) === 0 ? RCTL : TCTL, 0)
        return card.write(0, RESET)
      case 13:
        return card.start(choose(3) === 0 ? { receive: choose(2 ** 31) | ENABLE } : {})
      case 14:
        card.write(TDH, choose(ENTRIES))
        return card.write(RDH, choose(ENTRIES))
      case 15:
        return card.write(RDT, choose(8) === 0 ? choose(2 ** 16) : choose(ENTRIES))
      case 16:
      case 17:
        return card.write(TDT, choose(8) === 0 ? choose(2 ** 16) : choose(ENTRIES))
      default:
        for (let left = choose(choose(4) === 0 ? 1000 : 20); left > 0; left--) {
          this.#calls = 0
          card.machine.advance(choose(4) === 0 ? choose(BATCH_NS) : BATCH_NS)
        }
        return undefined
    }
  }

  /** What a driver sees, all that was sent, and what the network keeps. */
  observed(): unknown {
    const { card, network } = this
    const registers = [ICR, RCTL, TCTL, RDH, RDT, TDH, TDT, 8].map((register) => card.read(register))
    return [registers, card.pin, network.kept.length]
  }

  /** What is wrong once all has ended: what is kept of it, and whether a driver can begin again. */
  atEnd(): string | undefined {
    const { card, network } = this
    const { bytes, packet } = card.model.save().transmitter as {
      readonly bytes: Uint8Array
      readonly packet: { readonly bytes: Uint8Array } | null
    }
    const kept = bytes.length + (packet?.bytes.length ?? 0)
    if (kept > MOST_BYTES) this.#fail(`${kept} bytes are kept`)
    network.kept.length = 0
    network.replies = false
    network.room = Infinity
    network.linkUp = true
    network.client!.linkChanged(true)
    this.master(true)
    card.write(0, RESET)
    const image = Buffer.from(card.machine.ram)
    network.offer(this.#frame(() => 1))
    card.machine.advance(1e9)
    if (Buffer.compare(image, card.machine.ram) !== 0) this.#fail('memory is written after a reset')
    network.kept.length = 0
    card.machine.ram.fill(0, RECEIVE_RING, RECEIVE_RING + 16 * ENTRIES)
    card.start()
    card.writePhy(0, 0x9140)
    card.write(0, card.read(0) & ~0xc000_0000)
    card.machine.advance(1e9)
    this.#calls = 0
    const before = network.sent.length
    card.machine.ram.fill(7, SOURCES, SOURCES + 100)
    for (let i = 0; i < 3; i++) card.sendLegacy(SOURCES, 100 + i)
    const sent = network.sent.slice(before).map(({ length }) => length)
    if (JSON.stringify(sent) !== '[100,101,102]') this.#fail(`after a reset frames of ${sent} bytes are sent`)
    card.give(4)
    const frame = Uint8Array.from({ length: 90 }, (_, i) => MAC[i] ?? i)
    network.offer(frame)
    const got = card.received(0)
    if ((got.status & 3) !== 3 || Buffer.compare(got.bytes, frame) !== 0)
      this.#fail('after a reset nothing is received')
    return this.violation
  }

  /**
   * Another machine with the same memory that goes on from what this one saves.
   *
   * @param comes - a frame meanwhile
   * @param pulls - the cable is plugged in, or pulled, meanwhile
   */
  twin(comes: Uint8Array | null, pulls: boolean): RandomE1000 {
    const { card, network } = this
    card.model.quiesce()
    this.#paused = true
    const two = new RandomE1000()
    two.network.adopt(network)
    two.card.machine.ram.set(card.machine.ram)
    two.card.machine.exact.set(card.machine.exact)
    two.#master = this.#master
    two.card.model.quiesce()
    two.#paused = true
    two.card.master(this.#master)
    two.card.model.restore(structuredClone(card.model.save()))
    const { pin } = card
    network.linkUp = two.network.linkUp = pulls ? !network.linkUp : network.linkUp
    if (pulls) network.client!.linkChanged(network.linkUp)
    for (const one of [this, two]) {
      one.network.sent.length = 0
      if (comes !== null) one.network.offer(comes)
      one.network.client!.drained()
    }
    if (card.pin !== pin) this.#fail('the interrupt changes while it is quiesced')
    for (const one of [this, two]) {
      one.#paused = false
      one.#calls = 0
      one.card.model.resume()
    }
    return two
  }

  frame(choose: Choose): Uint8Array {
    return this.#frame(choose)
  }
}

/** A driver that does anything: nothing throws, no byte is moved while it is stopped, and it works after a reset. */
export function hostileE1000(choose: Choose, steps: number): string | undefined {
  const board = new RandomE1000()
  for (let i = 0; i < steps; i++) {
    board.act(choose)
    if (board.violation !== undefined) return `step ${i}: ${board.violation}`
  }
  return board.atEnd()
}

/** A card that was saved and restored elsewhere goes on as the first one does. */
export function sameE1000(choose: Choose, steps: number): string | undefined {
  const one = new RandomE1000()
  for (let i = 0; i < steps; i++) one.act(choose)
  const two = one.twin(choose(2) === 0 ? one.frame(choose) : null, choose(3) === 0)
  const numbers: number[] = []
  const goOn = (board: RandomE1000, next: Choose): string[] =>
    Array.from({ length: 20 }, () => {
      const seen = JSON.stringify(board.observed())
      board.act(next)
      return seen
    })
  const first = goOn(one, (bound) => {
    const chosen = choose(bound)
    numbers.push(chosen)
    return chosen
  })
  const second = goOn(two, () => numbers.shift() ?? 0)
  const at = first.findIndex((seen, i) => seen !== second[i])
  if (at >= 0) return `step ${at}: ${second[at]}, and without a save ${first[at]}`
  if (Buffer.compare(one.card.machine.ram, two.card.machine.ram) !== 0) return 'memory differs'
  const frames = [one, two].map(({ network }) => Buffer.concat(network.sent))
  if (Buffer.compare(frames[0]!, frames[1]!) !== 0) return 'frames that were sent differ'
  return one.violation ?? two.violation
}
