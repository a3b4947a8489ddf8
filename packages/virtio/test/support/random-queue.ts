import { turn } from '@retrap/device/test-machine'
import { type VirtioDevice, VirtioPci, type VirtioPciState } from '../../src/index.ts'
import { PciDriver } from './pci-driver.ts'
import { PackedDriver, type Piece, type RingDriver, type RingPlace, SplitDriver } from './ring-drivers.ts'
import { VirtioMachine } from './virtio-machine.ts'

export type Choose = (bound: number) => number

const DESCRIPTORS = 0x1000
const DRIVER_AREA = 0x3000
const DEVICE_AREA = 0x4000
const TABLES = 0x8000
const DATA = 0x1_0000
const SLOT = 0x400
const MOST_SLOTS = 64

interface Expected {
  readonly sent: Uint8Array
  readonly places: readonly Piece[]
  readonly room: number
}

/** A device that answers with the complement of what it reads, when the test lets it. */
class Mirror {
  readonly held: (() => void)[] = []
  later = true
  readonly device: VirtioDevice = {
    name: 'mirror',
    type: 4,
    queues: [
      {
        size: 16,
        handle: (chain) => {
          const bytes = chain.readable.slice(0, chain.readable.length) ?? new Uint8Array(0)
          const answer = (): number => {
            const out = Uint8Array.from(bytes.subarray(0, chain.writable.length), (byte) => byte ^ 0xff)
            return chain.writable.write(0, out) ? out.length : 0
          }
          if (!this.later) return answer()
          return new Promise((resolve) => this.held.push(() => resolve(answer)))
        },
      },
    ],
  }
}

/** How a case is set up. */
export interface QueueCase {
  readonly packed: boolean
  readonly eventIndex: boolean
  readonly indirect: boolean
  readonly size: number
  /** Index that a split ring begins at. */
  readonly start: number
}

export function chooseCase(choose: Choose): QueueCase {
  const packed = choose(2) === 1
  return {
    packed,
    eventIndex: choose(2) === 1,
    indirect: choose(2) === 1,
    size: packed ? 1 + choose(16) : 2 ** choose(5),
    start: choose(2) === 0 ? 0 : 0xfff0 + choose(16),
  }
}

/**
 * A driver and a device that do what they like: chains of all shapes, answers in any order, saves and resets in the middle.
 * The driver notifies only where the device asks for it, and looks at the ring only after an interrupt: one that is lost
 * leaves a chain that never comes back.
 */
export class RandomQueue {
  readonly #case: QueueCase
  #mirror = new Mirror()
  #model: VirtioPci
  #machine: VirtioMachine
  #driver: PciDriver
  #ring: RingDriver
  readonly #expected = new Map<number, Expected>()
  #token = 0
  #violation: string | undefined

  constructor(given: QueueCase) {
    this.#case = given
    this.#model = this.#newModel()
    this.#machine = this.#newMachine()
    this.#driver = new PciDriver(this.#machine)
    this.#ring = this.#begin(given.start)
  }

  #newModel(): VirtioPci {
    const { packed, indirect, eventIndex } = this.#case
    return new VirtioPci(this.#mirror.device, { device: 4, vectors: 0, packed, indirect, eventIndex })
  }

  #newMachine(): VirtioMachine {
    return new VirtioMachine(this.#model)
  }

  #place(): RingPlace {
    const { size, eventIndex } = this.#case
    return { size, eventIndex, descriptors: DESCRIPTORS, driver: DRIVER_AREA, device: DEVICE_AREA }
  }

  #begin(start: number): RingDriver {
    const { packed, eventIndex, indirect } = this.#case
    this.#machine.ram.fill(0, DESCRIPTORS, TABLES)
    const bits = [32, ...(packed ? [34] : []), ...(eventIndex ? [29] : []), ...(indirect ? [28] : [])]
    if (!this.#driver.negotiate(bits)) throw new Error('the device refuses its own features')
    this.#driver.setQueue(0, this.#place())
    this.#driver.start()
    if (packed) return this.#armed(new PackedDriver(this.#machine.view, this.#place()))
    // As if so many chains had gone through: only a state brings a device there.
    const ring = new SplitDriver(this.#machine.view, this.#place(), start)
    if (start === 0) return this.#armed(ring)
    const saved = structuredClone(this.#model.save()) as VirtioPciState & {
      core: { queues: { ring: unknown; notified: boolean }[] }
    }
    saved.core.queues[0]!.ring = { next: start, used: start, nextWrap: 0, usedWrap: 0, sinceAsked: 0 }
    // The device asks for a notice where the ring is now.
    saved.core.queues[0]!.notified = true
    this.#model.restore(saved)
    this.#model.resume()
    return this.#armed(ring)
  }

  #armed(ring: RingDriver): RingDriver {
    ring.arm()
    return ring
  }

  /** One random thing. */
  async act(choose: Choose): Promise<void> {
    switch (choose(12)) {
      case 0:
      case 1:
      case 2:
        for (let i = choose(4); i >= 0; i--) this.#send(choose)
        if (this.#ring.publish()) this.#driver.notify(0)
        break
      case 3:
      case 4:
      case 5:
        await this.#answer(choose)
        break
      case 6:
        this.#machine.advance(1000 * choose(40))
        break
      case 7:
        this.#mirror.later = choose(3) !== 0
        break
      case 8:
        if (choose(3) === 0) await this.#moveOn()
        break
      case 9:
        if (choose(6) === 0) await this.#reset(choose)
        break
      case 10:
        this.#masterOff(choose)
        break
      default:
        break
    }
    await turn()
    this.#interrupted()
  }

  #send(choose: Choose): void {
    if (this.#ring.free === 0) return
    const table = this.#case.indirect && choose(2) === 1
    const count = 1 + choose(table ? this.#case.size : Math.min(6, this.#ring.free))
    const token = this.#freeToken()
    if (this.#ring.free < (table ? 1 : count) || token < 0) return
    const reads = choose(count + 1)
    let gpa = DATA + SLOT * token
    const pieces = Array.from({ length: count }, (_, i) => {
      const length = 1 + choose(30)
      const piece = { gpa, length, write: i >= reads }
      gpa += length + choose(3)
      return piece
    })
    const sent: number[] = []
    for (const { gpa: at, length, write } of pieces) {
      for (let i = 0; i < length; i++) {
        const byte = choose(256)
        this.#machine.ram[at + i] = byte
        if (!write) sent.push(byte)
      }
    }
    const places = pieces.filter(({ write }) => write)
    const room = places.reduce((sum, { length }) => sum + length, 0)
    this.#expected.set(token, { sent: Uint8Array.from(sent), places, room })
    this.#ring.add(pieces, token, table ? TABLES + 0x100 * token : undefined)
  }

  #freeToken(): number {
    for (let i = 0; i < MOST_SLOTS; i++) {
      const token = (this.#token + i) % MOST_SLOTS
      if (this.#expected.has(token)) continue
      this.#token = token + 1
      return token
    }
    return -1
  }

  async #answer(choose: Choose): Promise<void> {
    const { held } = this.#mirror
    if (held.length > 0) held.splice(choose(held.length), 1)[0]!()
    await turn()
  }

  /** The driver looks at the ring where it has been interrupted. */
  #interrupted(): void {
    if (!this.#machine.level) return
    this.#driver.isr()
    do for (const { token, written } of this.#ring.reap()) this.#check(token, written)
    while (this.#ring.arm())
  }

  #check(token: number, written: number): void {
    const expected = this.#expected.get(token)
    if (expected === undefined) throw new Error(`chain ${token} came back twice`)
    this.#expected.delete(token)
    const { sent, places, room } = expected
    const length = Math.min(sent.length, room)
    if (written !== length) throw new Error(`chain ${token}: ${written} bytes written, expected ${length}`)
    const got = places.flatMap(({ gpa, length: bytes }) => [...this.#machine.ram.subarray(gpa, gpa + bytes)])
    for (let i = 0; i < length; i++) {
      if (got[i] !== (sent[i]! ^ 0xff)) throw new Error(`chain ${token}: byte ${i} is ${got[i]}`)
    }
  }

  /** Saves the device, and goes on with another one. */
  async #moveOn(): Promise<void> {
    const { held } = this.#mirror
    const quiet = this.#model.quiesce(1000)
    for (const go of held.splice(0)) go()
    await quiet
    const saved: unknown = structuredClone(this.#model.save())
    const { ram, level, now, fn } = this.#machine
    this.#mirror = new Mirror()
    this.#model = this.#newModel()
    this.#machine = this.#newMachine()
    this.#machine.ram.set(ram)
    this.#machine.now.set(now)
    this.#machine.fn!.restore(structuredClone(fn!.save()))
    this.#driver = new PciDriver(this.#machine)
    // The driver is part of the guest: it goes on over the new machine's RAM.
    this.#ring.move(this.#machine.view)
    this.#model.restore(saved)
    if (this.#machine.level !== level) throw new Error(`the wire is ${this.#machine.level} after restore`)
    this.#model.resume()
  }

  /** Takes the right to reach memory away for a while. */
  #masterOff(choose: Choose): void {
    const { fn } = this.#machine
    fn!.configWrite(4, 2, 3)
    this.#machine.onWrite = () => (this.#violation = 'memory was written without the bus master bit')
    for (const go of this.#mirror.held.splice(0, choose(3))) go()
    this.#machine.advance(1000 * choose(40))
    this.#machine.onWrite = () => {}
    fn!.configWrite(4, 2, 7)
  }

  /** Resets with requests in flight: when the status is 0, nothing of them reaches memory any more. */
  async #reset(choose: Choose): Promise<void> {
    const { held } = this.#mirror
    const busy = held.length > 0
    this.#driver.status = 0
    if (busy && this.#driver.status === 0) throw new Error('the status is 0 while requests are in flight')
    this.#machine.onWrite = (gpa) => (this.#violation = `memory at ${gpa} is written after the reset`)
    while (held.length > 0) {
      await this.#answer(choose)
      this.#machine.advance(1000 * choose(40))
    }
    this.#machine.advance(1000)
    await turn()
    await turn()
    if (this.#driver.status !== 0) throw new Error('the status is not 0 though nothing is in flight')
    this.#machine.advance(100_000)
    await turn()
    this.#machine.onWrite = () => {}
    this.#expected.clear()
    this.#ring = this.#begin(0)
  }

  /** Lets everything come to its end. @returns a line that says what is wrong, or undefined */
  async finish(): Promise<string | undefined> {
    for (let rounds = 0; rounds < 200; rounds++) {
      if (this.#ring.publish()) this.#driver.notify(0)
      for (const go of this.#mirror.held.splice(0)) go()
      await turn()
      this.#machine.advance(100_000)
      await turn()
      this.#interrupted()
      if (this.#expected.size === 0 || this.#violation !== undefined) return this.#violation
    }
    return `${this.#expected.size} chains never came back (${JSON.stringify(this.#case)})`
  }
}

/** Runs a random case to its end. @returns a line that says what is wrong, or undefined */
export async function randomQueueCase(choose: Choose, steps: number): Promise<string | undefined> {
  const given = chooseCase(choose)
  try {
    const queue = new RandomQueue(given)
    for (let i = 0; i < steps; i++) {
      await queue.act(choose)
    }
    return await queue.finish()
  } catch (error) {
    return `${error instanceof Error ? error.stack : String(error)} (${JSON.stringify(given)})`
  }
}
