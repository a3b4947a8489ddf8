import { TestDisk, turn } from '@retrap/device/test-machine'
import type { BlockErrorCode } from '@retrap/device'
import { UsbKeyboard, UsbPointer, UsbStorage } from '../../src/index.ts'
import { CHAIN, DATA, IOC, trbType, type Words, XhciDriver } from './xhci-driver.ts'

/** Source of a case's choices: an integer from 0 to `bound` − 1. */
type Choose = (bound: number) => number

const INPUT = { connect: () => {}, ready: () => {} }
/** TRBs that one access may lead to: a batch, its longest transfer, and contexts. */
const MOST_READS = 20_000
/** Events that wait for room: those of one transfer. */
const MOST_WAITING = 4096
const DISK_BYTES = 1 << 16
const ERRORS: readonly BlockErrorCode[] = ['ERR_MEDIUM', 'ERR_RANGE', 'ERR_NO_SPACE', 'ERR_NO_MEDIUM']

const COMMAND = 0x40
const STATUS = 0x44
const DOORBELLS = 0x2000
const HALTED = 1
const IN = 3
const OUT = 4

const PLACES = [0x1000, 0x2000, 0x3000, 0x4000, 0x6000, 0x8400, 0x8800, 0x2_1000, 0x2_3000, 0x2_4000, DATA]
const REGISTERS = [COMMAND, STATUS, 0x58, 0x5c, 0x70, 0x78, 0x1020, 0x1024, 0x1028, 0x1030, 0x1038, 0x103c]
const COMMANDS = [0x00, 0x03, 0x12, 0x1a, 0x25, 0x28, 0x28, 0x2a, 0x2a, 0x35, 0x42, 0x41, 0x88, 0x8a, 0x9e]

/** A controller with a stick, a keyboard and a tablet, whose guest may do anything, and a watch on what it does. */
class HostileUsb {
  readonly disk = new TestDisk(DISK_BYTES)
  readonly keyboard = new UsbKeyboard({ input: INPUT })
  readonly driver = new XhciDriver([
    new UsbStorage({ medium: this.disk }),
    this.keyboard,
    new UsbPointer({ kind: 'tablet', input: INPUT }),
  ])
  /** The first thing that went wrong. */
  violation: string | undefined
  #master = true
  #paused = false
  /** It was halted before the access, and nothing may let it run. */
  #halted = false

  constructor() {
    const { machine } = this.driver
    machine.onWrite = (gpa, bytes) => {
      const what = `${bytes} bytes are written at 0x${gpa.toString(16)}`
      if (!this.#master) this.#fail(`${what} while bus mastering is off`)
      if (this.#paused) this.#fail(`${what} while it is quiesced`)
      if (this.#halted) this.#fail(`${what} while it is halted`)
    }
  }

  #fail(what: string): void {
    this.violation ??= what
  }

  /** What a driver does first. */
  begin(): void {
    const { driver } = this
    this.#halted = false
    this.#setMaster(true)
    driver.start()
    for (const [port, speed] of [
      [1, 4],
      [6, 1],
    ] as const) {
      const slot = driver.address(port, speed)
      driver.configure(slot)
      driver.addEndpoint(slot, IN, 6)
      driver.addEndpoint(slot, OUT, 2)
    }
  }

  #setMaster(on: boolean): void {
    this.#master = on
    this.driver.machine.fn!.configWrite(4, 2, on ? 7 : 3)
  }

  #write(offset: number, value: number): void {
    if (offset === COMMAND) this.#halted = false
    this.driver.machine.write(offset, value)
  }

  #word(choose: Choose): number {
    const kind = choose(6)
    if (kind === 0) return choose(2 ** 32)
    if (kind === 1) return PLACES[choose(PLACES.length)]! + 16 * choose(32) + choose(2)
    if (kind === 2) return choose(0x2_0000)
    if (kind === 3) return (choose(40) << 10) | choose(0x400) | (choose(32) << 16)
    return kind === 4 ? 1 << choose(31) : choose(64)
  }

  /** A command for the stick, its data and its status, as a driver gives them. */
  storage(choose: Choose): void {
    const { driver } = this
    const { machine } = driver
    const at = 0x7_0000
    const opcode = COMMANDS[choose(COMMANDS.length)]!
    const count = choose(6) === 0 ? choose(256) : 1 + choose(8)
    const bytes = choose(6) === 0 ? choose(0x2_0000) : 512 * count
    const toHost = opcode !== 0x2a && opcode !== 0x8a && choose(12) > 0
    machine.ram.fill(0, at, at + 31)
    machine.view.setUint32(at, choose(30) === 0 ? 0 : 0x4342_5355, true)
    machine.view.setUint32(at + 8, bytes, true)
    machine.ram[at + 12] = toHost ? 0x80 : 0
    machine.ram[at + 14] = 16
    machine.ram.set([opcode, 0, 0, 0, 0, choose(120), 0, 0, count], at + 15)
    if (opcode >= 0x80) machine.ram.set([0, 0, 0, 0, 0, choose(120), 0, 0, 0, count], at + 19)
    const normal = trbType(1)
    const half = bytes >> 1
    const data: Words[] = [
      [DATA, 0, half, normal | CHAIN],
      [DATA + half, 0, bytes - half, normal | (choose(2) === 0 ? IOC : 0)],
    ]
    this.#put(OUT, [at, 0, 31, normal], ...(toHost ? [] : data))
    this.#put(IN, ...(toHost ? data : []), [at + 0x1000, 0, 13, normal | IOC])
  }

  #put(index: number, ...trbs: readonly Words[]): void {
    this.driver.put(32 + index, ...trbs)
    this.driver.doorbell(1, index)
  }

  /** Does one thing that a guest, its devices or their media may do. */
  act(choose: Choose): void {
    const { driver, keyboard, disk } = this
    const { machine } = driver
    const before = machine.reads
    this.#halted = (machine.read(STATUS) & HALTED) !== 0
    const acts: readonly (() => void)[] = [
      () => {
        const at = PLACES[choose(PLACES.length)]! + 4 * choose(256)
        machine.view.setUint32(at, this.#word(choose), true)
      },
      () => {
        // A TRB of a known type with a cycle that may be right
        const at = PLACES[choose(PLACES.length)]! + 16 * choose(32)
        for (let i = 0; i < 3; i++) machine.view.setUint32(at + 4 * i, this.#word(choose), true)
        const flags = choose(0x400) & ~0x10
        machine.view.setUint32(at + 12, ((1 + choose(24)) << 10) | flags | (choose(3) << 24) | (choose(8) << 16), true)
      },
      () => this.#write(DOORBELLS + 4 * choose(4), choose(8)),
      () => this.#write(DOORBELLS + 4 * (1 + choose(2)), 3 + choose(2)),
      () => this.#write(REGISTERS[choose(REGISTERS.length)]!, this.#word(choose)),
      () => this.#write(0x440 + 16 * choose(8), this.#word(choose)),
      () => this.#write(4 * choose(0x1000), this.#word(choose)),
      () => void machine.read(4 * choose(0x1000)),
      () => machine.advance(choose(1_000_000)),
      () => void keyboard.input([{ kind: 'key', usage: 4 + choose(100), down: choose(2) === 0 }]),
      () => void driver.events(),
      () => this.storage(choose),
      () => this.storage(choose),
      () => this.#setMaster(choose(3) > 0),
      () => void (disk.hold = choose(2) === 0),
      () => void (disk.bad = choose(3) === 0 ? ERRORS[choose(ERRORS.length)]! : null),
      () => disk.release(),
      // Stopped, and let run again.
      () => this.#write(COMMAND, choose(2) === 0 ? 4 : 5),
      () => {
        // The command ring is started and stopped over and over.
        for (let i = choose(300); i > 0; i--) {
          this.#write(DOORBELLS, 0)
          this.#write(0x58, 2)
        }
      },
      () => {
        for (let i = choose(60); i > 0; i--) driver.put(0, [0, 0, 0, trbType(23)])
        this.#write(DOORBELLS, 0)
      },
    ]
    acts[choose(acts.length)]!()
    if (machine.reads - before > MOST_READS) this.#fail(`${machine.reads - before} reads of guest memory`)
    const waiting = (driver.model.save().interrupters as readonly { readonly waiting: readonly unknown[] }[]).map(
      (one) => one.waiting.length,
    )
    if (Math.max(...waiting) > MOST_WAITING) this.#fail(`${waiting} events wait`)
    this.#halted = (machine.read(STATUS) & HALTED) !== 0
  }

  /** What a guest sees without changing anything. */
  observed(): unknown {
    const { machine } = this.driver
    const ports = Array.from({ length: 8 }, (_, i) => machine.read(0x440 + 16 * i))
    return [...REGISTERS.map((register) => machine.read(register)), ...ports, machine.level]
  }

  /** A save, with answers that come meanwhile. @returns the state */
  async stand(): Promise<unknown> {
    const standing = this.driver.model.quiesce()
    this.#paused = true
    this.disk.hold = false
    this.disk.release()
    await standing
    return structuredClone(this.driver.model.save())
  }

  goOn(): void {
    this.#paused = false
    this.#halted = (this.driver.machine.read(STATUS) & HALTED) !== 0
    this.driver.model.resume()
  }

  /** Goes on from the state of another one, with the same memory and disk. */
  adopt(other: HostileUsb, state: unknown): void {
    const { machine } = this.driver
    this.#paused = true
    this.driver.adopt(other.driver)
    machine.ram.set(other.driver.machine.ram)
    machine.now.set(other.driver.machine.now)
    this.#setMaster(other.#master)
    this.disk.bytes.set(other.disk.bytes)
    this.disk.bad = other.disk.bad
    this.driver.model.restore(state)
  }
}

/** Registers, rings and contexts at random: nothing throws, and work is bounded. @returns what went wrong, or null */
export async function hostileCase(choose: Choose, steps: number): Promise<string | null> {
  const board = new HostileUsb()
  board.begin()
  for (let i = 0; i < steps; i++) {
    board.act(choose)
    if (choose(8) === 0) await turn()
    if (choose(60) === 0) {
      const state = await board.stand()
      if (choose(2) === 0) board.driver.model.restore(state)
      board.goOn()
    }
    if (board.violation !== undefined) return `step ${i}: ${board.violation}`
    if (choose(100) !== 0) continue
    // However it was left, a reset makes it work again.
    board.driver.machine.write(DOORBELLS + 4 * 65, 0)
    board.disk.release()
    try {
      board.begin()
    } catch (error) {
      return `step ${i}: after a reset: ${String(error)}`
    }
  }
  return null
}

/** A controller that was saved and restored elsewhere goes on as the first one does. @returns what differs, or null */
export async function sameUsb(choose: Choose, steps: number): Promise<string | null> {
  const one = new HostileUsb()
  one.begin()
  for (let i = 0; i < steps; i++) {
    one.act(choose)
    if (choose(8) === 0) await turn()
  }
  // A command of the stick is under way.
  if (choose(2) === 0) {
    one.begin()
    await turn()
    one.storage(choose)
  }
  const state = await one.stand()
  const two = new HostileUsb()
  two.adopt(one, state)
  const numbers: number[] = []
  const goOn = async (board: HostileUsb, next: Choose): Promise<string[]> => {
    board.goOn()
    const seen: string[] = []
    for (let i = 0; i < 12; i++) {
      // What the medium is asked has its time.
      for (let n = 0; n < 4; n++) {
        board.driver.machine.advance(200_000)
        await turn()
      }
      seen.push(JSON.stringify(board.observed()))
      board.act(next)
      board.disk.hold = false
      board.disk.release()
    }
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
  if (Buffer.compare(one.driver.machine.ram, two.driver.machine.ram) !== 0) return 'memory differs'
  if (Buffer.compare(one.disk.bytes, two.disk.bytes) !== 0) return 'the medium differs'
  return one.violation ?? two.violation ?? null
}
