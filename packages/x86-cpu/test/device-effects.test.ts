// What a device does while it answers an access comes before the instruction that follows: an interrupt, an NMI, an SMI or
// an INIT that it raises, and a change of the guest's map (SDM vol. 3A, "Priority Among Concurrent Events": interrupts are
// taken at instruction boundaries).
import * as x86 from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { BareCpu, CODE, STACK, TSS, initialState, type TestDevice } from './support/bare-cpu.ts'
import { expectHalt } from './support/with-bare-cpu.ts'

const test = sliceTests(TEST_JIT === false ? 4 : 10)

const DEVICE = 0x2_0000
const OTHER_DEVICE = 0x2_1000
const RAM = 0x3_0000
const PORT = 0x60
const IRQ = 0x40
const NMI = 2
const HANDLER = 0x4000
const ENABLED = { rip: CODE, rsp: STACK, rflags: 0x202 }

interface Row {
  readonly name: string
  /** The instruction; RSI, RDI and the stack pointer have been set up by {@link Row.before}. */
  readonly access: (asm: x86.Assembler) => unknown
  readonly before?: (asm: x86.Assembler) => unknown
  /** Accesses that it makes, and which of them has the effect; default 1 and the last. */
  readonly accesses?: number
  readonly at?: number
}

const fromDevice = (asm: x86.Assembler): unknown => asm.mov(x86.rsi, DEVICE).mov(x86.rdi, RAM)
const toDevice = (asm: x86.Assembler): unknown => asm.mov(x86.rsi, RAM).mov(x86.rdi, DEVICE)
const between = (asm: x86.Assembler): unknown => asm.mov(x86.rsi, DEVICE).mov(x86.rdi, OTHER_DEVICE)

const memoryRows: readonly Row[] = [
  { name: 'MOV load, 1 byte', access: (asm) => asm.mov(x86.al, x86.byte(DEVICE)) },
  { name: 'MOV load, 4 bytes', access: (asm) => asm.mov(x86.eax, x86.dword(DEVICE)) },
  { name: 'MOV load, 8 bytes', access: (asm) => asm.mov(x86.rax, x86.qword(DEVICE)) },
  { name: 'MOVZX load', access: (asm) => asm.movzx(x86.eax, x86.byte(DEVICE)) },
  { name: 'ADD load', access: (asm) => asm.add(x86.eax, x86.dword(DEVICE)) },
  { name: 'CMP', access: (asm) => asm.cmp(x86.dword(DEVICE), 5) },
  { name: 'TEST', access: (asm) => asm.test(x86.byte(DEVICE), 1) },
  { name: 'MOV store of a register', access: (asm) => asm.mov(x86.dword(DEVICE), x86.ecx) },
  { name: 'MOV store of an immediate', access: (asm) => asm.mov(x86.byte(DEVICE), 7) },
  {
    name: 'MOV load across a page end of devices',
    accesses: 2,
    access: (asm) => asm.mov(x86.eax, x86.dword(DEVICE + 0xffe)),
  },
  { name: 'ADD to memory, at its read', accesses: 2, at: 1, access: (asm) => asm.add(x86.dword(DEVICE), 1) },
  { name: 'ADD to memory, at its write', accesses: 2, at: 2, access: (asm) => asm.add(x86.dword(DEVICE), 1) },
  { name: 'INC', accesses: 2, at: 2, access: (asm) => asm.inc(x86.byte(DEVICE)) },
  { name: 'XCHG', accesses: 2, at: 1, access: (asm) => asm.xchg(x86.dword(DEVICE), x86.eax) },
  { name: 'MOVS from a device', before: fromDevice, access: (asm) => asm.movsd() },
  { name: 'MOVS to a device', before: toDevice, access: (asm) => asm.movsd() },
  { name: 'MOVS between devices, at its read', before: between, accesses: 2, at: 1, access: (asm) => asm.movsd() },
  { name: 'MOVS between devices, at its write', before: between, accesses: 2, at: 2, access: (asm) => asm.movsd() },
  { name: 'LODS', before: fromDevice, access: (asm) => asm.lodsd() },
  { name: 'STOS', before: toDevice, access: (asm) => asm.stosd() },
  { name: 'CMPS, at its first read', before: between, accesses: 2, at: 1, access: (asm) => asm.cmpsd() },
  { name: 'PUSH of a device', access: (asm) => asm.push(x86.qword(DEVICE)) },
  { name: 'POP to a device', access: (asm) => asm.push(x86.rax).pop(x86.qword(DEVICE)) },
  { name: 'PUSH to a device', before: (asm) => asm.mov(x86.rsp, DEVICE + 8), access: (asm) => asm.push(x86.rbx) },
  { name: 'POP from a device', before: (asm) => asm.mov(x86.rsp, DEVICE), access: (asm) => asm.pop(x86.rax) },
  { name: 'MOVD load', access: (asm) => asm.movd(x86.xmm0, x86.dword(DEVICE)) },
  { name: 'MOVQ load', access: (asm) => asm.movq(x86.xmm0, x86.qword(DEVICE)) },
  { name: 'MOVDQU load', accesses: 2, access: (asm) => asm.movdqu(x86.xmm0, x86.xmmword(DEVICE)) },
  {
    name: 'MOVDQU store, at its first part',
    accesses: 2,
    at: 1,
    access: (asm) => asm.movdqu(x86.xmmword(DEVICE), x86.xmm0),
  },
]

const portRows: readonly Row[] = [
  { name: 'IN', access: (asm) => asm.in(x86.al, PORT) },
  { name: 'IN by DX', before: (asm) => asm.mov(x86.dx, PORT), access: (asm) => asm.in(x86.eax, x86.dx) },
  { name: 'OUT', access: (asm) => asm.out(PORT, x86.al) },
  { name: 'OUT by DX', before: (asm) => asm.mov(x86.dx, PORT), access: (asm) => asm.out(x86.dx, x86.eax) },
  { name: 'INS', before: (asm) => asm.mov(x86.dx, PORT).mov(x86.rdi, RAM), access: (asm) => asm.insb() },
  { name: 'OUTS', before: (asm) => asm.mov(x86.dx, PORT).mov(x86.rsi, RAM), access: (asm) => asm.outsb() },
]

const rows = [...memoryRows, ...portRows]

/** A device that has an effect at one of the accesses to it. */
class Effect implements TestDevice {
  accesses = 0
  /** Number of the access that has the effect. */
  at = 0
  effect: () => void = () => undefined

  #access(): void {
    if (++this.accesses === this.at) this.effect()
  }

  read(): bigint {
    this.#access()
    return 0x11n
  }

  write(): boolean {
    this.#access()
    return true
  }
}

interface Machine {
  readonly pc: BareCpu
  readonly device: Effect
  readonly label: (name: string) => number
}

/** Interrupts are enabled; the instruction is executed `warm` times without an effect, and then with it. */
function machine(row: Row, warm: number, rest: (asm: x86.Assembler) => unknown = counting): Machine {
  const pc = new BareCpu()
  const device = new Effect()
  for (const page of [DEVICE, OTHER_DEVICE]) pc.host.devices.set(page >>> 12, device)
  pc.host.ports.set(PORT, device)
  const { accesses = 1, at = accesses } = row
  device.at = warm * accesses + at
  const label = pc.program((asm) => {
    for (let i = 0; i < warm; i++) {
      row.before?.(asm)
      row.access(asm)
    }
    row.before?.(asm)
    row.access(asm)
    asm.bind(asm.label('after'))
    rest(asm)
  })
  // Handlers note how far the program has come.
  pc.program((asm) => asm.mov(x86.r8, x86.rbx).mov(x86.r9, x86.qword(x86.rsp)).hlt(), HANDLER)
  for (const vector of [IRQ, NMI]) pc.vector(vector, HANDLER)
  pc.cpu.load({ ...initialState('long'), registers: ENABLED })
  return { pc, device, label }
}

/** Straight on, so that nothing but the rule stops it. */
const counting = (asm: x86.Assembler): unknown => asm.inc(x86.ebx).inc(x86.ebx).inc(x86.ebx).hlt()

// The first access to a page is found by a walk; later ones are made again without. The third is warm in every way.
describe.each([0, 2])('after %i executions without an effect', (warm) => {
  describe.each(rows)('$name', (row) => {
    const { accesses = 1 } = row

    test('is followed at once by the interrupt that its device raises', () => {
      const { pc, device, label } = machine(row, warm)
      device.effect = () => pc.interrupt(IRQ)
      expectHalt(pc, { r9: BigInt(label('after')) })
      expect(pc.register('r8')).toBe(0n)
      // Each access was made once.
      expect(device.accesses).toBe((warm + 1) * accesses)
    })

    test('is followed at once by the NMI that its device raises', () => {
      const { pc, device, label } = machine(row, warm)
      device.effect = () => pc.cpu.nmi()
      expectHalt(pc, { r9: BigInt(label('after')) })
      expect(device.accesses).toBe((warm + 1) * accesses)
    })

    test('ends a run that its device stops, and has retired', () => {
      const { pc, device, label } = machine(row, warm)
      device.effect = () => pc.cpu.stop()
      expect(pc.run().reason).toBe('budget')
      expect(pc.rip).toBe(label('after'))
      expect(device.accesses).toBe((warm + 1) * accesses)
      expectHalt(pc, { rbx: 3n })
    })
  })
})

test('a store to ROM is followed at once by the interrupt that the board raises', () => {
  const { pc, device, label } = machine({ name: 'store', access: (asm) => asm.mov(x86.byte(DEVICE), 7) }, 1)
  device.effect = () => pc.interrupt(IRQ)
  pc.host.devices.delete(DEVICE >>> 12)
  pc.host.rom.add(DEVICE >>> 12)
  Object.assign(pc.host, { romWrite: () => device.write() })
  expectHalt(pc, { r9: BigInt(label('after')) })
  expect(device.accesses).toBe(2)
})

// Generated code's own port accesses do not look at the permission bit map: these are the handler's.
describe.each(portRows)('$name of a program of CPL 3', (row) => {
  test('is followed at once by the interrupt that its device raises', () => {
    const { pc, device, label } = machine(row, 1)
    device.effect = () => pc.interrupt(IRQ)
    pc.load(TSS + 0x66, [0x68, 0])
    pc.load(TSS + 0x68, new Uint8Array(0x20))
    const state = initialState('long')
    const { cs, ss, tr } = state.segments
    const user = {
      cs: { ...cs, selector: 0x1b, attributes: 0xa0fb },
      ss: { ...ss, selector: 0x23, attributes: 0xc0f3 },
    }
    pc.cpu.load({ ...state, registers: ENABLED, segments: { ...state.segments, ...user, tr: { ...tr, limit: 0x87 } } })
    expectHalt(pc, { r9: BigInt(label('after')) })
    expect(device.accesses).toBe(2)
  })
})

describe('a change of the map', () => {
  const SHADOW = 0x8000

  /** Page CODE lies in another frame from the effect on, where other instructions follow the access. */
  function moved(row: Row, warm: number): Machine {
    const made = machine(row, warm)
    const { pc, device } = made
    const other = machine(row, warm, (asm) => asm.inc(x86.ecx).hlt())
    pc.load(SHADOW, other.pc.memory.u8.slice(other.pc.host.ramMa + CODE, other.pc.host.ramMa + CODE + 0x1000))
    const translate = pc.host.translate.bind(pc.host)
    let changed = false
    pc.host.translate = (lo, hi, access, into, log) => {
      const status = translate(lo, hi, access, into, log)
      if (changed && into.gpa >>> 12 === CODE >>> 12) into.ma += SHADOW - CODE
      return status
    }
    device.effect = () => {
      changed = true
      pc.cpu.mapChanged()
    }
    return made
  }

  describe.each([0, 2])('after %i executions without an effect', (warm) => {
    test.each(rows)('by the device of $name is seen by the next fetch', (row) => {
      const { pc, device } = moved(row, warm)
      expectHalt(pc, { rbx: 0n })
      expect(pc.register('rcx')).toBe(1n)
      expect(device.accesses).toBe((warm + 1) * (row.accesses ?? 1))
    })

    test.each([
      { name: 'load', access: (asm: x86.Assembler) => asm.mov(x86.edi, x86.dword(DEVICE)) },
      { name: 'store', access: (asm: x86.Assembler) => asm.mov(x86.dword(DEVICE), x86.esi) },
    ])('by the device of a $name is seen by the next one', ({ name, access }) => {
      const { pc, device } = machine({ name, access }, warm, (asm) => {
        asm.mov(x86.esi, 0x77)
        access(asm)
        asm.hlt()
      })
      pc.write32(DEVICE, 0x99)
      device.effect = () => {
        pc.host.devices.delete(DEVICE >>> 12)
        pc.cpu.mapChanged()
      }
      expect(pc.run().reason).toBe('hlt')
      expect(device.accesses).toBe(warm + 1)
      expect(name === 'load' ? pc.register('rdi') : BigInt(pc.read32(DEVICE))).toBe(name === 'load' ? 0x99n : 0x77n)
    })
  })
})
