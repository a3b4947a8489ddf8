import type { DeviceModel, InputEvent, InterruptLine } from '@retrap/device'
import * as devices from '../../src/index.ts'
import { FakeMachine } from './fake-machine.ts'
import { TestInput } from './test-input.ts'

/** Source of a case's choices: an integer from 0 to `bound` − 1. */
export type Choose = (bound: number) => number

const LINES = Array.from({ length: 24 }, (_, irq) => irq)
const SIZES = [1, 2, 4] as const
/** Ports worth poking: every register of every device. */
const PORTS: readonly (readonly [first: number, last: number])[] = [
  [0x40, 0x43],
  [0x60, 0x60],
  [0x61, 0x61],
  [0x64, 0x64],
  [0x70, 0x71],
  [0x80, 0x80],
  [0x92, 0x92],
  [0xb2, 0xb3],
  [0x2f8, 0x2ff],
  [0x3f8, 0x3ff],
  [0x402, 0x402],
  [0x510, 0x511],
  [0x514, 0x51b],
  [0x600, 0x60f],
  [0xcf9, 0xcf9],
]

/** A board and what it has said to its host. */
class Board {
  readonly machine = new FakeMachine()
  readonly com1: devices.Uart16550
  readonly pm = new devices.AcpiPm()
  readonly keys = new TestInput()
  readonly movements = new TestInput()
  readonly isaBridge = new devices.IsaBridge()
  readonly models: readonly DeviceModel[]
  /** A pin's input is its function's own for as long as the board lives. */
  readonly #inputs = new Map<string, InterruptLine>()
  output = ''

  input(device: number, pin: number): InterruptLine {
    const input = this.#inputs.get(`${device}.${pin}`) ?? this.isaBridge.interruptInput(device, pin)
    this.#inputs.set(`${device}.${pin}`, input)
    return input
  }

  constructor() {
    const note = (from: string) => (bytes: Uint8Array) => void (this.output += `${from}:${bytes.join()};`)
    const pit = new devices.I8254()
    const rtc = new devices.Mc146818({ epochSeconds: 1e9, lowRamBytes: 1 << 29, highRamBytes: 0, cpus: 1 })
    this.com1 = new devices.Uart16550({ stream: { send: note('com1') } })
    this.models = [
      pit,
      rtc,
      new devices.Hpet({ legacySources: [pit, rtc] }),
      this.pm,
      this.com1,
      new devices.Uart16550({ iobase: 0x2f8, irq: 3, stream: { send: note('com2') } }),
      new devices.DebugConsole({ stream: { send: note('debug') } }),
      new devices.ResetControl(),
      new devices.I8042({ keyboard: this.keys, mouse: this.movements }),
      new devices.PostCodePort(),
      new devices.HostBridge(),
      this.isaBridge,
      new devices.FwCfg({ files: { 'etc/x': { bytes: new Uint8Array(100), writable: true } } }),
    ]
    for (const model of this.models) model.attach(this.machine.context())
  }

  /** Another board that this one's saved state was restored to. */
  copy(): Board {
    const other = new Board()
    other.machine.time = this.machine.time
    // RAM and PCI configuration are the machine's to save.
    other.machine.ram.set(this.machine.ram)
    for (const [key, fn] of this.machine.functions) other.machine.functions.get(key)?.config.set(fn.config)
    const saved = this.models.map((model) => model.save?.())
    other.models.forEach((model, i) => void model.restore?.(JSON.parse(JSON.stringify(saved[i] ?? null))))
    for (const model of this.models) if (model instanceof devices.DebugConsole) model.quiesce()
    this.output = ''
    // What its models have no room for waits in front of the other board too.
    other.keys.send(...this.keys.waiting)
    other.movements.send(...this.movements.waiting)
    return other
  }

  levels(): string {
    return LINES.map((irq) => (this.machine.line(irq).level ? '1' : '0')).join('')
  }
}

/** One thing that happens to a board; gives what the guest read, if it did. */
type Act = (board: Board) => unknown

function chooseMovement(choose: Choose): InputEvent {
  if (choose(2) === 0) return { kind: 'button', button: choose(7), down: choose(2) === 0 }
  const [a, b] = [choose(600) - 300, choose(600) - 300]
  return choose(2) === 0 ? { kind: 'relative', dx: a, dy: b } : { kind: 'wheel', vertical: a >> 5, horizontal: b >> 5 }
}

function chooseAct(choose: Choose): Act {
  const value = choose(2) === 0 ? choose(256) : choose(0x1_0000) * 0x1_0000 + choose(0x1_0000)
  switch (choose(14)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const [first, last] = PORTS[choose(PORTS.length)] as readonly [number, number]
      const port = first + choose(last - first + 1)
      const size = SIZES[choose(SIZES.length)] as 1 | 2 | 4
      const fits = port + size - 1 <= last ? size : 1
      return (board) => board.machine.out(port, value % 2 ** (8 * fits), fits)
    }
    case 4:
    case 5: {
      const [first, last] = PORTS[choose(PORTS.length)] as readonly [number, number]
      const port = first + choose(last - first + 1)
      return (board) => board.machine.in(port)
    }
    case 6: {
      const at = devices.HPET_BASE + 4 * choose(0x180 / 4)
      return (board) => board.machine.store(at, value)
    }
    case 7: {
      const at = devices.HPET_BASE + 8 * choose(0x180 / 8)
      return (board) => board.machine.load64(at)
    }
    case 8: {
      const ns = choose(1 << choose(21))
      return (board) => board.machine.advance(ns)
    }
    case 9: {
      const ns = choose(2 ** 31) * choose(1000)
      return (board) => board.machine.leap(ns)
    }
    case 10: {
      const usage = choose(256)
      const down = choose(2) === 0
      return (board) => board.keys.key(usage, down)
    }
    case 11: {
      const event = chooseMovement(choose)
      return (board) => board.movements.send(event)
    }
    case 12: {
      const bytes = Uint8Array.from({ length: choose(30) }, () => choose(256))
      return (board) => board.com1.receive(bytes)
    }
    default: {
      const which = choose(4)
      const device = choose(32)
      const register = 0x60 + choose(4)
      return (board) => {
        if (which === 0) board.pm.pressPowerButton()
        else if (which === 1) board.com1.sendBreak()
        else if (which === 2) board.input(device, 1 + (value % 4)).set(value % 8 < 4)
        else board.machine.writeConfig(1, register, value % 256)
      }
    }
  }
}

/**
 * Does random things to a board, saves it, restores it to a second one, and
 * goes on with both. Nothing may throw, no timer may stay behind the clock,
 * and from the restore on the two must not be told apart.
 *
 * @returns what was violated, or undefined
 */
export function randomCase(choose: Choose): string | undefined {
  const first = new Board()
  const step = (board: Board, act: Act): unknown => {
    const result = act(board)
    board.machine.timers.expire()
    return result
  }
  const late = (board: Board): string | undefined => {
    const { machine } = board
    return machine.timers.nextDeadlineNs <= machine.time
      ? `a timer for ${machine.timers.nextDeadlineNs} at ${machine.time}`
      : undefined
  }
  for (let count = choose(150); count > 0; count--) {
    step(first, chooseAct(choose))
    const violation = late(first)
    if (violation !== undefined) return violation
  }
  const second = first.copy()
  for (let count = choose(60); ; count--) {
    if (first.levels() !== second.levels())
      return `lines ${first.levels()} and ${second.levels()} of the restored board`
    if (first.output !== second.output) return `output ${first.output} and ${second.output} of the restored board`
    if (count <= 0) break
    const act = chooseAct(choose)
    const results = [step(first, act), step(second, act)]
    if (results[0] !== results[1]) return `read ${String(results[0])} and ${String(results[1])} from the restored board`
  }
  const states = [first, second].map((board) => JSON.stringify(board.models.map((model) => model.save?.())))
  return states[0] === states[1] ? undefined : `saved\n${states[0]}\nand\n${states[1]}`
}
