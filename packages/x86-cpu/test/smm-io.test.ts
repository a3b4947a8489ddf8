// SMI right after an I/O instruction, and I/O instruction restart: SDM vol. 3C, "I/O State Implementation", "I/O Instruction
// Restart"; AMD APM vol. 2, "SMM I/O Trap". And state save areas that are no RAM.
import { type Assembler, al, ax, byte, dx, eax, ecx, edi, edx, esi, word } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { saveVcpu } from '../src/index.ts'
import { BareCpu } from './support/bare-cpu.ts'
import { COUNT, SMBASE, area, areaSegment, smiHandler } from './support/smm.ts'

/** Interpreted, all of them. */
const test = sliceTests(TEST_JIT === false ? 1 : 3)

const PORT = 0x5a
const PLACES = {
  max: { restart: 0xff00, state: 0xffa4, rip: 0xfde8, address: 0xff9c },
  'max,vendor=amd': { restart: 0xfec8, state: 0xfec0, rip: 0xfea0, address: 0 },
} as const
type Model = keyof typeof PLACES
const MODELS = Object.keys(PLACES) as Model[]

/**
 * A device that is asleep: its first accesses raise SMI, whose handler wakes it and has the instruction made again.
 *
 * @param asleep - accesses that find it so
 * @param slow - each access is answered at the second time of asking
 */
function sleeping(cpu: Model, build: (asm: Assembler) => void, { asleep = 1, slow = false } = {}) {
  const pc = new BareCpu({ cpu })
  const log: string[] = []
  let sleeps = asleep
  let asked = !slow
  const touch = (what: string): boolean => {
    if (!asked) {
      asked = true
      return false
    }
    asked = !slow
    log.push(`${what}${sleeps > 0 ? ' asleep' : ''}`)
    if (sleeps-- > 0) pc.cpu.smi()
    return true
  }
  pc.host.ports.set(PORT, {
    read: (_offset, size) => (touch(`in ${size}`) ? (sleeps < 0 ? 0x11223344n + BigInt(log.length) : ~0n) : undefined),
    write: (_offset, size, value) => touch(`out ${size} ${value.toString(16)}`),
  })
  const { restart } = PLACES[cpu]
  smiHandler(pc, (asm) => areaSegment(asm).mov(byte(restart), 0xff).inc(word(0x100)).rsm())
  pc.program(build)
  for (let i = 0; i < 100; i++) if (pc.run().reason === 'hlt') return { pc, log, smis: pc.read16(SMBASE + 0x100) }
  throw new Error('the program does not end')
}

describe.each(MODELS)('I/O instruction restart on %s', (cpu) => {
  test.each([{ slow: false }, { slow: true }])('IN, OUT: the device is asked again (slow: $slow)', ({ slow }) => {
    const read = sleeping(cpu, (asm) => asm.mov(eax, 0).in(eax, PORT).hlt(), { slow })
    expect([read.log, read.smis]).toEqual([['in 4 asleep', 'in 4'], 1])
    expect(read.pc.register('rax')).toBe(0x11223346n)
    const written = sleeping(cpu, (asm) => asm.mov(eax, 0x77).mov(edx, PORT).out(dx, al).hlt(), { slow })
    expect([written.log, written.smis]).toEqual([['out 1 77 asleep', 'out 1 77'], 1])
  })

  test.each([{ slow: false }, { slow: true }])(
    'a string is made again from its last iteration (slow: $slow)',
    ({ slow }) => {
      const { log, pc, smis } = sleeping(
        cpu,
        (asm) => asm.mov(edx, PORT).mov(edi, 0x9000).mov(ecx, 3).cld().rep().insd().hlt(),
        { asleep: 2, slow },
      )
      expect([log, smis]).toEqual([['in 4 asleep', 'in 4 asleep', 'in 4', 'in 4', 'in 4'], 2])
      expect([0, 1, 2].map((i) => pc.read32(0x9000 + 4 * i))).toEqual([0x11223347, 0x11223348, 0x11223349])
      expect([pc.register('rcx'), pc.register('rdi')]).toEqual([0n, 0x900cn])
    },
  )

  test('OUTS downwards, and its last iteration', () => {
    const { log, pc } = sleeping(cpu, (asm) =>
      asm.mov(edx, PORT).mov(esi, 0x9002).mov(ecx, 1).std().rep().outsw().cld().hlt(),
    )
    expect(log).toEqual(['out 2 0 asleep', 'out 2 0'])
    expect([pc.register('rcx'), pc.register('rsi')]).toEqual([0n, 0x9000n])
  })

  test('where SMI did not come after an I/O instruction the field does nothing', () => {
    const pc = new BareCpu({ cpu })
    smiHandler(pc, (asm) => areaSegment(asm).mov(byte(PLACES[cpu].restart), 0xff).rsm())
    pc.program((asm) => asm.nop().nop().inc(ecx).hlt())
    pc.step()
    pc.cpu.smi()
    expect(pc.run().reason).toBe('hlt')
    expect(pc.register('rcx')).toBe(1n)
  })
})

describe('the I/O state field', () => {
  const IN_IMMEDIATE = 9
  const IN = 1
  const OUT_IMMEDIATE = 8
  const OUT = 0
  const INS = 3
  const OUTS = 2
  const REP_INS = 7
  const REP_OUTS = 6
  const rows = [
    { what: 'IN AL, imm8', type: IN_IMMEDIATE, size: 1, build: (asm: Assembler) => asm.in(al, PORT) },
    { what: 'IN EAX, DX', type: IN, size: 4, build: (asm: Assembler) => asm.in(eax, dx) },
    { what: 'OUT imm8, AX', type: OUT_IMMEDIATE, size: 2, build: (asm: Assembler) => asm.out(PORT, ax) },
    { what: 'OUT DX, AL', type: OUT, size: 1, build: (asm: Assembler) => asm.out(dx, al) },
    { what: 'INSB', type: INS, size: 1, build: (asm: Assembler) => asm.insb(), address: 0x9100 },
    { what: 'OUTSD', type: OUTS, size: 4, build: (asm: Assembler) => asm.outsd(), address: 0x9000 },
    { what: 'REP INSW', type: REP_INS, size: 2, build: (asm: Assembler) => asm.rep().insw(), address: 0x9100 },
    { what: 'REP OUTSB', type: REP_OUTS, size: 1, build: (asm: Assembler) => asm.rep().outsb(), address: 0x9000 },
  ]
  const common = (asm: Assembler): Assembler => asm.mov(edx, PORT).mov(esi, 0x9000).mov(edi, 0x9100).mov(ecx, 5)

  test.each(rows.flatMap((row) => [false, true].map((checked) => ({ ...row, checked }))))(
    '$what (past the permission map: $checked)',
    ({ type, size, build, address = 0, checked }) => {
      for (const cpu of MODELS) {
        const pc = new BareCpu({ cpu })
        pc.host.ports.set(PORT, { read: () => (pc.cpu.smi(), 0n), write: () => (pc.cpu.smi(), true) })
        smiHandler(pc, (asm) => asm.hlt())
        const at = pc.program((asm) => build(common(asm).bind(asm.label('io'))).hlt())
        // A port breakpoint elsewhere has all port accesses checked.
        if (checked) pc.breakpoint(0, 0x9999, 0x2_0001)
        expect(pc.run().reason).toBe('hlt')
        expect(pc.cpu.inSystemManagement).toBe(true)
        const places = PLACES[cpu]
        const state = pc.read32(area(places.state))
        expect(pc.read64(area(places.rip))).toBe(BigInt(at('io')))
        if (cpu === 'max') {
          expect(state).toBe((PORT << 16) | (type << 4) | (size << 1) | 1)
          expect(pc.read64(area(places.address))).toBe(BigInt(address))
        } else {
          const input = type & 1
          const string = (type & 2) << 1
          const repeated = (type & 4) << 1
          expect(state).toBe((PORT << 16) | (size << 4) | repeated | string | 2 | input)
        }
      }
    },
  )

  test('is 0 where SMI comes after another instruction', () => {
    const pc = new BareCpu()
    smiHandler(pc)
    pc.host.ports.set(PORT, { read: () => 0n, write: () => true })
    pc.program((asm) => asm.out(PORT, al).nop().hlt())
    pc.step()
    pc.step()
    pc.cpu.smi()
    pc.run()
    expect(pc.read32(area(0xffa4))).toBe(0)
  })
})

describe('a state save area on a device', () => {
  /** A device page of memory that answers at the n-th time of asking. */
  function slowPage(pc: BareCpu, page: number, patience: number): { reads: number; writes: number; bytes: Uint8Array } {
    const state = { reads: 0, writes: 0, bytes: new Uint8Array(0x1000) }
    const view = new DataView(state.bytes.buffer)
    let asked = 0
    const ready = (): boolean => {
      if (++asked < patience) return false
      asked = 0
      return true
    }
    pc.host.devices.set(page, {
      read: (offset, size) => {
        if (!ready()) return undefined
        state.reads++
        return size === 8 ? view.getBigUint64(offset, true) : BigInt(view.getUint8(offset))
      },
      write: (offset, size, value) => {
        if (!ready()) return false
        state.writes++
        if (size === 8) view.setBigUint64(offset, value, true)
        else view.setUint8(offset, Number(value))
        return true
      },
    })
    return state
  }

  test.each([
    { cpu: 'max', accesses: 128 },
    { cpu: 'max,vendor=amd', accesses: 64 },
  ])(
    '$cpu: each of $accesses accesses is made once, in passes that wait, and the program goes on',
    ({ cpu, accesses }) => {
      const build = (asm: Assembler): Assembler => asm.mov(eax, 0x1234).nop().inc(eax).hlt()
      const plain = new BareCpu({ cpu })
      plain.program(build)
      plain.run()
      const pc = new BareCpu({ cpu })
      const page = slowPage(pc, (SMBASE + 0xf000) >>> 12, 2)
      smiHandler(pc)
      pc.program(build)
      pc.step()
      pc.cpu.smi()
      let blocked = 0
      for (let i = 0; i < 2000; i++) {
        const { reason } = pc.run()
        if (reason === 'hlt') break
        expect(reason).toBe('blocked')
        blocked++
      }
      expect([page.writes, page.reads, blocked]).toEqual([accesses, accesses, 2 * accesses])
      expect([pc.read16(COUNT), pc.cpu.inSystemManagement]).toEqual([1, false])
      expect(saveVcpu(pc.cpu)).toEqual(saveVcpu(plain.cpu))
    },
  )

  test('INIT in the middle of the delivery waits for RSM', () => {
    const pc = new BareCpu()
    const page = slowPage(pc, (SMBASE + 0xf000) >>> 12, 2)
    smiHandler(pc)
    pc.program((asm) => asm.nop().hlt())
    pc.step()
    pc.cpu.smi()
    for (let i = 0; i < 5; i++) expect(pc.run().reason).toBe('blocked')
    expect(pc.cpu.inSystemManagement).toBe(true)
    pc.cpu.init()
    for (let i = 0; i < 1000 && pc.cpu.inSystemManagement; i++) pc.step()
    expect([page.writes, page.reads, pc.read16(COUNT), pc.rip]).toEqual([128, 128, 1, 0xfff0])
  })
})
