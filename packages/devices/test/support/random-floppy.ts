import type { BlockErrorCode } from '@retrap/device'
import { DATA, FloppyMachine } from './floppy-machine.ts'
import type { Choose } from './random-ide.ts'
import { TestMedium } from './test-medium.ts'

const OPCODES = [0x06, 0xe6, 0x46, 0x05, 0xc5, 0x02, 0x16, 0xd6, 0x0d, 0x4d, 0x0a, 0x07, 0x08, 0x0f, 0x8f, 0x03, 0x13]
const ERRORS: readonly BlockErrorCode[] = ['ERR_MEDIUM', 'ERR_RANGE', 'ERR_NO_SPACE', 'ERR_NO_MEDIUM']
const SIZES = [1440, 720, 360, 2880]
const SECTOR = 512
const IMAGE = Uint8Array.from({ length: 1440 * 1024 }, (_, i) => (i >> 9) + i * 13)
/** Calls of DMA in a millisecond: ten sectors, byte by byte. */
const MOST_CALLS = 12 * SECTOR

/** Two drives whose guest may do anything, over media that answer late or fail, and a watch on what is done to memory. */
export class RandomFloppy {
  readonly media = [new TestMedium(0), new TestMedium(0)] as const
  readonly card: FloppyMachine
  /** The first thing that went wrong. */
  violation: string | undefined
  #calls = 0
  #paused = false

  constructor() {
    this.media.forEach((medium, i) => (medium.bytes = IMAGE.slice(0, (1440 * 1024) >> i)))
    this.card = new FloppyMachine(this.media, (dma) => ({
      ...dma,
      read: (gpa, into) => {
        this.#count(`${into.length} bytes are read at 0x${gpa.toString(16)}`, gpa, into.length)
        return dma.read(gpa, into)
      },
      write: (gpa, from) => {
        this.#count(`${from.length} bytes are written at 0x${gpa.toString(16)}`, gpa, from.length)
        return dma.write(gpa, from)
      },
    }))
    this.card.start()
  }

  #fail(what: string): void {
    this.violation ??= what
  }

  #count(what: string, gpa: number, bytes: number): void {
    const { machine } = this.card
    if (++this.#calls > MOST_CALLS) this.#fail('too much work for one access')
    if (this.#paused) this.#fail(`${what} while it is quiesced`)
    if ((machine.in(0x3f2) & 4) === 0) this.#fail(`${what} while the controller is held in reset`)
    if ((machine.in(0x3f2) & 8) === 0) this.#fail(`${what} while its requests are off`)
    if ((machine.in(0x0f) & 4) !== 0) this.#fail(`${what} while the channel is masked`)
    const page = machine.in(0x81) * 0x1_0000
    if (gpa < page || gpa + bytes > page + 0x1_0000) this.#fail(`${what}, outside of the page 0x${page.toString(16)}`)
  }

  #transfer(choose: Choose): readonly number[] {
    const opcode = OPCODES[choose(10)]!
    const select = choose(8)
    const cylinder = choose(4) === 0 ? choose(256) : choose(3)
    const sector = choose(4) === 0 ? choose(256) : 1 + choose(18)
    const end = choose(4) === 0 ? choose(256) : 18
    if ((opcode & 0x1f) === 0x0d)
      return [opcode, select, choose(8) === 0 ? choose(256) : 2, choose(20), 27, choose(256)]
    return [opcode, select, cylinder, (select >> 2) ^ (choose(8) === 0 ? 1 : 0), sector, 2, end, 27, choose(256)]
  }

  /** Does one thing that a guest, or its media, may do. */
  async act(choose: Choose): Promise<void> {
    const { card, media } = this
    const { machine } = card
    this.#calls = 0
    switch (choose(25)) {
      case 0:
        return machine.out(0x3f0 + choose(6), choose(256))
      case 1:
        return machine.out(0x3f7, choose(4))
      case 2:
        return machine.out(0x3f2, choose(2) === 0 ? choose(256) : 0x1c | choose(2))
      case 3:
      case 4:
        return void card.command(...this.#transfer(choose))
      case 5:
        return void card.command(OPCODES[choose(OPCODES.length)]!, choose(8), choose(90), choose(256))
      case 6:
      case 7:
        return this.#channel(choose)
      case 8:
        return machine.out([0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0e, 0x0f, 0x81, 0xd0, 0xd4][choose(10)]!, choose(256))
      case 9:
        // Sectors by the processor.
        for (let i = choose(1100); i > 0; i--) machine.in(0x3f5)
        return undefined
      case 10:
        for (let i = choose(1100); i > 0; i--) machine.out(0x3f5, choose(4) === 0 ? i & 255 : 0)
        return undefined
      case 11:
        return void card.result()
      case 12: {
        const medium = media[choose(2)]!
        medium.bad = choose(3) === 0 ? { at: choose(medium.bytes.length), code: ERRORS[choose(ERRORS.length)]! } : null
        return undefined
      }
      case 13:
        media[choose(2)]!.hold = true
        return undefined
      case 14:
        return media[choose(2)]!.release()
      case 15: {
        if (choose(3) > 0) return undefined
        // Another disk, or none; write-protected or not.
        const medium = media[choose(2)]!
        medium.readOnly = choose(3) === 0
        return medium.change(new Uint8Array(choose(4) === 0 ? 0 : SIZES[choose(SIZES.length)]! * 1024))
      }
      case 16:
        return this.begin()
      case 17:
      case 18:
      case 19: {
        // A transfer that is right, which what follows may end.
        this.begin()
        const cylinder = choose(3)
        if ((await card.seek(cylinder))[1] !== cylinder) return undefined
        const writes = choose(3) === 0
        this.#calls = 0
        card.channel(writes ? 0x4a : 0x46, SECTOR * (1 + choose(20)), DATA + choose(0x1_0000))
        if (choose(4) === 0) media[0].hold = true
        if (choose(4) === 0) machine.out(0x3f2, 0x14)
        card.command(writes ? 0x45 : 0x46, 0, cylinder, 0, 1 + choose(18), 2, 18, 27, 255)
        return choose(2) === 0 ? this.pass(0) : undefined
      }
      default:
        return this.pass(choose(choose(4) === 0 ? 30 : 3))
    }
  }

  /** A reset, and what a driver sets up. */
  begin(): void {
    const { machine } = this.card
    machine.out(0x3f2, 0)
    machine.out(0x0d, 0)
    machine.out(0xda, 0)
    machine.out(0xd6, 0xc0)
    machine.out(0xd4, 0)
    this.card.start()
  }

  #channel(choose: Choose): void {
    const mode = choose(8) === 0 ? choose(256) : [0x46, 0x4a, 0x42, 0x66, 0x56][choose(5)]!
    const gpa = choose(6) === 0 ? choose(1 << 24) : DATA + choose(0x1_0000)
    this.card.channel((mode & 0xfc) | 2, choose(4) === 0 ? 1 + choose(0x1_0000) : SECTOR * (1 + choose(20)), gpa)
  }

  /** Begins a seek, a look for a sector, or a transfer, which takes its time. */
  start(choose: Choose): void {
    const { card } = this
    if (choose(2) === 0) this.begin()
    const kind = choose(4)
    if (kind === 0) card.command(0x0f, choose(2), choose(84))
    else if (kind === 1) card.command(0x4a, choose(2))
    else {
      card.channel(kind === 2 ? 0x46 : 0x4a, SECTOR * 3)
      card.command(kind === 2 ? 0x46 : 0x45, 0, 0, 0, 1, 2, 18, 27, 255)
    }
  }

  /** Milliseconds go by. */
  async pass(milliseconds: number): Promise<void> {
    for (let i = 0; i <= milliseconds; i++) {
      this.#calls = 0
      await this.card.pass(1e6)
    }
  }

  async release(): Promise<void> {
    for (const medium of this.media) await medium.release()
  }

  /** What a guest sees without changing anything. */
  observed(): unknown {
    const { machine, irq } = this.card
    return [0x3f2, 0x3f3, 0x3f4, 0x3f7, 0x0f].map((port) => machine.in(port)).concat(irq ? 1 : 0)
  }

  /** What is wrong once all has ended: a command that does not end, memory that is written later, no new beginning. */
  async atEnd(): Promise<string | undefined> {
    const { card, media } = this
    const { machine } = card
    await this.release()
    this.#calls = 0
    // With the channel free, and the requests on, what is under way ends; the processor moves what it has to.
    machine.out(0x3f2, machine.in(0x3f2) | 0x1c)
    for (let i = 0; (machine.in(0x3f4) & 0x10) !== 0; i++) {
      if (i === 600) return `a command does not end: ${JSON.stringify(card.model.save().registers)}`
      card.channel(0x46, 0x1_0000)
      machine.out(0xd4, 0)
      machine.out(0xd0, 0)
      machine.out(0x08, 0)
      await this.pass(1)
      for (let n = 0; n <= SECTOR && (machine.in(0x3f4) & 0x90) === 0x90; n++) {
        if ((machine.in(0x3f4) & 0x40) === 0) machine.out(0x3f5, 0)
        else machine.in(0x3f5)
      }
    }
    machine.out(0x3f2, 0)
    const image = Buffer.from(machine.ram)
    await this.pass(20)
    if (Buffer.compare(image, machine.ram) !== 0) this.#fail('memory is written after a reset')
    const [medium] = media
    medium.bad = null
    medium.change(IMAGE.slice())
    this.begin()
    await card.seek(0)
    medium.hold = true
    card.channel(0x46, SECTOR)
    card.command(0x46, 0, 0, 0, 9, 2, 18, 27, 255)
    this.begin()
    await card.seek(0)
    card.channel(0x46, SECTOR)
    card.command(0x46, 0, 0, 0, 3, 2, 18, 27, 255)
    await medium.release()
    this.#calls = 0
    await this.pass(1)
    const [status] = card.result()
    const got = machine.ram.subarray(DATA, DATA + SECTOR)
    if (status !== 0 || Buffer.compare(got, medium.bytes.subarray(2 * SECTOR, 3 * SECTOR)) !== 0)
      this.#fail(`after a reset a sector is not read: ${status}`)
    return this.violation
  }

  /** Another machine with the same memory and disks that goes on from what this one saves. */
  async twin(): Promise<RandomFloppy> {
    const { card, media } = this
    const standing = card.model.quiesce()
    this.#paused = true
    await this.release()
    await standing
    const two = new RandomFloppy()
    two.#paused = true
    two.media.forEach((medium, i) => {
      medium.bytes = media[i]!.bytes.slice()
      medium.bad = media[i]!.bad
      medium.readOnly = media[i]!.readOnly
    })
    two.card.machine.ram.set(card.machine.ram)
    two.card.machine.exact.set(card.machine.exact)
    two.card.dma.restore(structuredClone(card.dma.save()))
    two.card.model.restore(structuredClone(card.model.save()))
    for (const one of [this, two]) {
      one.#paused = false
      one.#calls = 0
      one.card.model.resume()
    }
    return two
  }
}

/** A guest that does anything: nothing throws, each command ends, and no byte is moved while it is stopped. */
export async function hostileFloppy(choose: Choose, steps: number): Promise<string | undefined> {
  const board = new RandomFloppy()
  for (let i = 0; i < steps; i++) {
    await board.act(choose)
    if (board.violation !== undefined) return `step ${i}: ${board.violation}`
  }
  return board.atEnd()
}

/** A controller that was saved and restored elsewhere goes on as the first one does. */
export async function sameFloppy(choose: Choose, steps: number): Promise<string | undefined> {
  const one = new RandomFloppy()
  for (let i = 0; i < steps; i++) {
    await one.act(choose)
  }
  await one.release()
  await one.pass(1)
  one.start(choose)
  const two = await one.twin()
  const numbers: number[] = []
  const goOn = async (board: RandomFloppy, next: Choose): Promise<string[]> => {
    const seen: string[] = []
    for (let i = 0; i < 20; i++) {
      seen.push(JSON.stringify(board.observed()))
      await board.act(next)
      for (const medium of board.media) medium.hold = false
    }
    await board.pass(20)
    return seen
  }
  const first = await goOn(one, (bound) => {
    const chosen = choose(bound)
    numbers.push(chosen)
    return chosen
  })
  const second = await goOn(two, () => numbers.shift() ?? 0)
  const at = first.findIndex((seen, i) => seen !== second[i])
  if (at >= 0) return `step ${at}: ${second[at]}, and without a save ${first[at]}`
  if (Buffer.compare(one.card.machine.ram, two.card.machine.ram) !== 0) return 'memory differs'
  if (one.media.some(({ bytes }, i) => Buffer.compare(bytes, two.media[i]!.bytes) !== 0)) return 'a disk differs'
  return one.violation ?? two.violation
}
