// An instruction whose one access waits for its device stands where it is; with the answer the processor runs on from there.
import { MachineMemory } from '@retrap/memory'
import { TEST_JIT } from '@retrap/tooling/jit'
import { beforeEach, describe, expect, test } from 'vitest'
import { FlatHost, saveVcpu, Vcpu, X86Engine } from '../src/index.ts'
import { STATUS_DONE, STATUS_RETRY } from '../src/state/state-layout.ts'

const START = 0x7000
const HANDLER = 0x8000
const VECTOR = 0x20
const VALUE = 0x1234

/** Ports, and what lies above 1 MiB, are a device that answers when it is told to. */
class Board extends FlatHost {
  cpu: Vcpu | null = null
  accesses: string[] = []
  answers = false
  #asked = false
  interrupt = -1

  clear(): void {
    this.accesses = []
    this.answers = false
    this.#asked = false
    this.interrupt = -1
  }

  #access(what: string): number {
    expect(this.#asked).toBe(false)
    this.accesses.push(what)
    this.#asked = true
    return STATUS_RETRY
  }

  override answer(): number {
    expect(this.#asked).toBe(true)
    if (!this.answers) return STATUS_RETRY
    this.#asked = false
    this.answers = false
    this.record.lo = VALUE
    this.record.hi = 0
    return STATUS_DONE
  }

  override physicalRead(gpa: number, size: number): number {
    return this.#access(`read ${size} at ${gpa.toString(16)}`)
  }

  override physicalWrite(gpa: number, size: number, lo: number): number {
    return this.#access(`write ${size} at ${gpa.toString(16)}: ${lo.toString(16)}`)
  }

  override portRead(port: number, size: number): number {
    return this.#access(`in ${size} at ${port.toString(16)}`)
  }

  override portWrite(port: number, size: number, value: number): number {
    return this.#access(`out ${size} at ${port.toString(16)}: ${value.toString(16)}`)
  }

  override acknowledgeInterrupt(): number {
    const vector = this.interrupt
    this.interrupt = -1
    this.cpu?.setInterruptPending(false)
    return vector
  }
}

const memory = MachineMemory.create({ bytes: 16 << 20 })
const engine = new X86Engine(memory, { codeCacheBytes: 4 << 20, jit: TEST_JIT })
const board = new Board(memory, 1 << 20)
const cpu = new Vcpu(engine, board, { tscHz: 1e9, crystalHz: 1e9 })
board.cpu = cpu
board.attach(cpu)

/** Real mode, DS at FFFF:0, so that offset 10H is the first byte above 1 MiB. AX is 5678H, interrupts are enabled. */
function start(code: readonly number[]): void {
  // mov ax, 0ffffh; mov ds, ax; mov ax, 5678h; sti; nop
  const prologue = [0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xb8, 0x78, 0x56, 0xfb, 0x90]
  board.load(START, Uint8Array.from([...prologue, ...code]))
  // What BX was when the interrupt came: mov si, bx; inc di; iret
  board.load(HANDLER, Uint8Array.from([0x89, 0xde, 0x47, 0xcf]))
  for (const vector of [1, VECTOR]) board.load(4 * vector, Uint8Array.from([0, HANDLER >> 8, 0, 0]))
  cpu.reset(false)
  cpu.startup(START >> 12)
}

const registers = (): Record<string, number> =>
  Object.fromEntries(Object.entries(saveVcpu(cpu).registers).map(([name, value]) => [name, Number(value)]))
const CODE = START + 10
const INC_BX = 0x43
const HLT = 0xf4

beforeEach(() => {
  cpu.cancel()
  board.clear()
})

const forms = [
  { name: 'IN', bytes: [0xe4, 0x40], access: 'in 1 at 40', rax: 0x5634 },
  { name: 'OUT', bytes: [0xe7, 0x40], access: 'out 2 at 40: 5678', rax: 0x5678 },
  { name: 'a load', bytes: [0xa1, 0x10, 0], access: 'read 2 at 100000', rax: VALUE },
  { name: 'a store', bytes: [0xa3, 0x10, 0], access: 'write 2 at 100000: 5678', rax: 0x5678 },
]

// The first access to a page of a device is made after a walk; a further one needs none.
describe.each([1, 3])('the access number %i of', (count) => {
  describe.each(forms)('$name', ({ bytes, access, rax }) => {
    /** Runs up to the last of the accesses; what follows is `rest`. */
    const waiting = (...rest: number[]): void => {
      start([...Array.from({ length: count }, () => bytes).flat(), ...rest])
      for (let i = 1; i < count; i++) {
        expect(cpu.run(100).reason).toBe('blocked')
        board.answers = true
      }
      expect(cpu.run(100).reason).toBe('blocked')
      expect(cpu.run(100).reason).toBe('blocked')
      expect(board.accesses).toEqual(Array.from({ length: count }, () => access))
      board.answers = true
    }
    const at = CODE + (count - 1) * bytes.length

    test('retires with the answer, and so do the instructions after it', () => {
      waiting(INC_BX, INC_BX, HLT)
      const { retired } = cpu
      expect(cpu.run(100).reason).toBe('hlt')
      expect(cpu.retired - retired).toBe(4)
      expect(registers()).toMatchObject({ rax, rbx: 2 })
      expect(board.accesses).toHaveLength(count)
      expect(cpu.busy).toBe(false)
      expect(cpu.log.active).toBe(false)
    })

    test('is followed at once by an interrupt that has come up meanwhile', () => {
      waiting(INC_BX, INC_BX, HLT)
      board.interrupt = VECTOR
      cpu.setInterruptPending(true)
      expect(cpu.run(100).reason).toBe('hlt')
      expect(registers()).toMatchObject({ rbx: 2, rsi: 0, rdi: 1 })
    })

    test('is what was fetched; what follows it is what is there now', () => {
      waiting(INC_BX, INC_BX, HLT)
      // hlt over it; inc cx; inc cx behind it
      board.load(at, Uint8Array.from([...bytes.map(() => HLT), 0x41, 0x41]))
      expect(cpu.run(100).reason).toBe('hlt')
      expect(registers()).toMatchObject({ rax, rbx: 0, rcx: 2 })
    })

    test('retires alone where the budget says so', () => {
      waiting(INC_BX, INC_BX, HLT)
      const { retired } = cpu
      expect(cpu.step().reason).toBe('budget')
      expect(cpu.retired - retired).toBe(1)
      expect(registers()).toMatchObject({ rax, rbx: 0, rip: at + bytes.length - START })
      expect(cpu.run(100).reason).toBe('hlt')
      expect(registers()).toMatchObject({ rbx: 2 })
    })

    test('retires alone where it is settled', () => {
      waiting(INC_BX, HLT)
      expect(cpu.settle()).toBeUndefined()
      expect(registers()).toMatchObject({ rax, rbx: 0, rip: at + bytes.length - START })
      expect(cpu.run(100).reason).toBe('hlt')
      expect(registers()).toMatchObject({ rbx: 1 })
    })

    test('is trapped by TF before the next one', () => {
      // pushf; pop ax; or ah, 1; push ax; mov ax, 5678h; popf
      const trace = [0x9c, 0x58, 0x80, 0xcc, 1, 0x50, 0xb8, 0x78, 0x56, 0x9d]
      start([...trace, ...bytes, INC_BX, HLT])
      expect(cpu.run(100).reason).toBe('blocked')
      board.answers = true
      // The trap's handler does not count the instruction that POPF comes before.
      while (cpu.step().reason === 'budget' && registers()['rdi'] === 0);
      expect(registers()).toMatchObject({ rax, rbx: 0, rsi: 0, rdi: 1 })
    })

    test('is forgotten by INIT', () => {
      waiting(INC_BX, HLT)
      cpu.init()
      expect(cpu.run(100).reason).toBe('wait-for-sipi')
      expect(cpu.busy).toBe(false)
      expect(cpu.log.active).toBe(false)
      expect(registers()['rbx']).toBe(0)
    })
  })
})

test('a loop of accesses makes each once', () => {
  // mov cx, 50; next: in al, 40h; inc bx; mov ax, [10h]; loop next; hlt
  start([0xb9, 50, 0, 0xe4, 0x40, INC_BX, 0xa1, 0x10, 0, 0xe2, 0xf8, HLT])
  let blocked = 0
  while (cpu.run(1000).reason === 'blocked') {
    blocked++
    board.answers = true
  }
  expect(blocked).toBe(100)
  expect(board.accesses).toEqual(Array.from({ length: 50 }, () => ['in 1 at 40', 'read 2 at 100000']).flat())
  expect(registers()).toMatchObject({ rbx: 50, rcx: 0, rax: VALUE })
})
