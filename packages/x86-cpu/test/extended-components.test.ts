/** The state of AVX-512, AMX and APX: XCR0, XSAVE and its relatives, CPUID, saved states. The offsets are those of the manuals. */
import fc from 'fast-check'
import { loadInstructions } from '@retrap/x86-cpu'
import { beforeAll, describe, expect, test as base } from 'vitest'
import { restoreVcpu, saveVcpu, writeModelSpecificRegister } from '../src/inspect.ts'
import * as S from '../src/state/state-layout.ts'
import { extension } from '../src/extended/processor.ts'
import { cpuModel } from '../src/model/models.ts'
import { Processor } from '../src/model/processor.ts'
import { RESET_INIT, resetState } from '../src/system/reset.ts'
import { S_ACTIVITY } from '../src/state/system-state.ts'
import { cpuidLeaf } from '../src/system/cpuid.ts'
import { BareCpu, CODE, STACK } from './support/bare-cpu.ts'
import { systemOf } from './support/handlers.ts'

const INTEL = 'max,+avx512f,+amx_tile,+xfd,+apx_f'
const AMD = 'max,vendor=amd,+avx512f'
const ALL = 0xe_02e7
const AREA = 0x2_0000
const [UD, NM, GP] = [6, 7, 13]

beforeAll(() => loadInstructions(INTEL))

/** State offsets of the words of a component, in the order of the area; `long`: in 64-bit mode. */
type Words = (long: boolean) => readonly number[]
const run = (offset: number, bytes: number): readonly number[] =>
  Array.from({ length: bytes / 4 }, (_, i) => offset + 4 * i)
const long64 =
  (offset: number, bytes: number): Words =>
  (long) =>
    long ? run(offset, bytes) : []
const vectors =
  (half: number, bytes: number): Words =>
  (long) =>
    Array.from({ length: long ? 16 : 8 }, (_, i) => run(S.S_XMM + 64 * i + half, bytes)).flat()

/** Number, bytes, offsets of Intel's and AMD's standard form, alignment. */
const COMPONENTS: readonly (readonly [number, number, number, number, boolean, Words])[] = [
  [2, 256, 576, 576, false, vectors(16, 16)],
  [5, 64, 1088, 832, false, () => run(S.S_OPMASK, 64)],
  [6, 512, 1152, 896, false, vectors(32, 32)],
  [7, 1024, 1664, 1408, false, long64(S.S_XMM + 1024, 1024)],
  [9, 8, 2688, 2432, false, () => [S.S_PKRU, S.S_ZERO]],
  [17, 64, 2752, 0, true, long64(S.S_TILECFG, 64)],
  [18, 8192, 2816, 0, true, long64(S.S_TMM, 8192)],
  [19, 128, 960, 0, false, long64(S.S_EGPR, 128)],
]

function made(cpu: string, mode: 'long' | 'protected'): BareCpu {
  const pc = new BareCpu({ cpu, mode })
  pc.enableState(ALL)
  for (const vector of [UD, NM, GP]) {
    pc.load(0x4000 + 16 * vector, [0xf4])
    pc.vector(vector, 0x4000 + 16 * vector)
  }
  return pc
}
const test = base.extend('pc', () => made(INTEL, 'long'))

/** Executes one instruction. @returns the vector of its exception, or −1 */
function execute(pc: BareCpu, code: readonly number[]): number {
  // A write ends the decoded code there.
  if (code.some((byte, i) => pc.read8(CODE + i) !== byte)) pc.load(CODE, [...code, 0xf4])
  pc.rip = CODE
  pc.setRegister('rsp', STACK)
  // From the HLT before.
  pc.cpu.u32[S_ACTIVITY >>> 2] = 0
  expect(pc.run().reason).toBe('hlt')
  return pc.rip === CODE + code.length + 1 ? -1 : (pc.rip - 0x4001) / 16
}

const word = (pc: BareCpu, at: number): number => pc.cpu.u32[at >>> 2]!

const XSETBV = [0x0f, 0x01, 0xd1]
const XGETBV = [0x0f, 0x01, 0xd0]

test('XSETBV takes 5 to 7 together and with AVX, and 17 and 18 together; gates follow', ({ pc }) => {
  const bits = [0, 1, 2, 3, 5, 6, 7, 17, 18, 19]
  for (let drawn = 0; drawn < 1 << bits.length; drawn++) {
    const value = bits.reduce((all, bit, i) => ((drawn >>> i) & 1) * 2 ** bit + all, 0)
    const has = (...wanted: number[]): boolean => wanted.every((bit) => (value & (1 << bit)) !== 0)
    const lacks = (...wanted: number[]): boolean => wanted.every((bit) => (value & (1 << bit)) === 0)
    const isAllowed =
      has(0) &&
      lacks(3) &&
      (lacks(2) || has(1)) &&
      (lacks(5, 6, 7) || has(5, 6, 7, 2)) &&
      (lacks(17, 18) || has(17, 18))
    for (const [register, word] of [
      ['rcx', 0],
      ['rdx', 0],
      ['rax', value],
    ] as const)
      pc.setRegister(register, word)
    expect([value, execute(pc, XSETBV)]).toEqual([value, isAllowed ? -1 : GP])
    if (!isAllowed) continue
    const gates = (): number[] => [S.S_AVX_GATE, S.S_EVEX_GATE, S.S_APX_GATE, S.S_TILE_GATE].map((at) => word(pc, at))
    expect(gates()).toEqual([has(2) ? 0 : UD, has(7) ? 0 : UD, has(19) ? 0 : UD, has(17) ? 0 : UD])
    pc.cpu.u32[S.S_CR0 >>> 2]! |= 8
    pc.cpu.modeChanged()
    expect(gates()).toEqual([has(2) ? NM : UD, has(7) ? NM : UD, has(19) ? 0 : UD, has(17) ? 0 : UD])
    pc.cpu.u32[S.S_CR0 >>> 2]! &= ~8
    pc.cpu.modeChanged()
  }
  const legacy = made(INTEL, 'protected')
  expect([S.S_EVEX_GATE, S.S_APX_GATE, S.S_TILE_GATE].map((at) => word(legacy, at))).toEqual([0, UD, UD])
})

test('INIT leaves the registers, reset clears them', ({ pc }) => {
  const places = [...COMPONENTS.flatMap(([, , , , , words]) => words(true)), S.S_XFD, S.S_XFD_ERR].filter(
    (at) => at !== S.S_ZERO,
  )
  for (const at of places) pc.cpu.u32[at >>> 2] = at
  resetState(systemOf(pc), RESET_INIT, true)
  expect(places.map((at) => word(pc, at))).toEqual(places)
  pc.cpu.reset(true)
  expect(new Set(places.map((at) => word(pc, at)))).toEqual(new Set([0]))
  expect([word(pc, S.S_NO_MASK), word(pc, S.S_NO_MASK + 4)]).toEqual([0xffff_ffff, 0xffff_ffff])
})

describe('XSAVE and its relatives (SDM vol. 1, "Managing State Using the XSAVE Feature Set")', () => {
  const SAVES = { XSAVE: [0xae, 0x23], XSAVEOPT: [0xae, 0x33], XSAVEC: [0xc7, 0x23], XSAVES: [0xc7, 0x2b] }
  const XRSTOR = [0x0f, 0xae, 0x2b]
  /** A configuration that LDTILECFG takes: 16 rows of 64 bytes in each tile. */
  const TILES = [1, 0, 0, 0, ...Array<number>(4).fill(0x40_0040), ...Array<number>(4).fill(0), 0x1010_1010, 0x1010_1010]

  const given = fc.record({
    cpu: fc.constantFrom(INTEL, INTEL, AMD),
    long: fc.boolean(),
    save: fc.constantFrom(...(Object.keys(SAVES) as (keyof typeof SAVES)[])),
    asked: fc.oneof(fc.constant(-1), fc.integer()),
    enabled: fc.integer().map((drawn) => 7 | (drawn & 0x200) | (drawn & 1 ? 0xe0 : 0) | (drawn & 2 ? 0xe_0000 : 0)),
    used: fc.oneof(fc.constant(-1), fc.integer()),
    xfd: fc.constantFrom(0, 0, 1 << 18),
    seed: fc.integer(),
  })

  test('all components, saved and restored', () => {
    const machines = new Map<string, BareCpu>()
    fc.assert(
      fc.property(given, ({ cpu, long, save, asked, used, enabled, xfd, seed }) => {
        const xcr0 = cpu === AMD ? enabled & 0x2e7 : enabled
        const pc = machines.get(cpu + long) ?? made(cpu, long ? 'long' : 'protected')
        machines.set(cpu + long, pc)
        const { u32 } = pc.cpu
        u32[S.S_XCR0 >>> 2] = xcr0
        u32[S.S_XFD >>> 2] = 0
        pc.cpu.modeChanged()
        pc.load(AREA, new Uint8Array(0x3000).fill(0xcc))
        pc.write32(AREA + 24, 0x1f80)
        pc.fill64(AREA + 512, AREA + 576, () => 0n)
        const fill = (isInUse: boolean): void => {
          for (const [number, , , , , words] of COMPONENTS)
            for (const [i, at] of words(true).entries())
              if (at !== S.S_ZERO)
                u32[at >>> 2] =
                  !isInUse || ((used >>> number) & 1) === 0 ? 0 : number === 17 ? (TILES[i] ?? 0) : at * 3 + (seed | 1)
        }
        fill(true)
        const before = u32.slice()
        u32[S.S_XFD >>> 2] = cpu === AMD ? 0 : xfd
        pc.setRegister('rax', asked)
        pc.setRegister('rbx', AREA)
        expect(execute(pc, [0x0f, ...SAVES[save]])).toBe(-1)

        const wanted = asked & xcr0
        const isCompacted = save === 'XSAVEC' || save === 'XSAVES'
        let [end, bits] = [576, 0]
        const places = new Map<number, number>()
        for (const [number, size, intel, amd, isAligned, words] of COMPONENTS) {
          const bit = 1 << number
          if ((wanted & bit) === 0) continue
          const at = isCompacted ? (isAligned ? Math.ceil(end / 64) * 64 : end) : cpu === AMD ? amd : intel
          end = at + size
          places.set(number, at)
          const state = words(long)
          const isDisabled = (u32[S.S_XFD >>> 2]! & bit) !== 0
          const isUsed = !isDisabled && state.some((from) => before[from >>> 2] !== 0)
          if (isUsed) bits |= bit
          const isWritten = isUsed || save === 'XSAVE'
          const value = (from: number): number => (!isWritten ? 0xcccc_cccc : isDisabled ? 0 : before[from >>> 2]!)
          expect([number, ...state.map((_, i) => pc.read32(AREA + at + 4 * i))]).toEqual([number, ...state.map(value)])
          // Words that this mode has no registers of, or that come behind the component.
          for (let behind = at + 4 * state.length; behind < at + size; behind += 4)
            expect(pc.read32(AREA + behind)).toBe(0xcccc_cccc)
        }
        expect(pc.read32(AREA + 512) & ~3).toBe(bits)
        expect([pc.read32(AREA + 520), pc.read32(AREA + 524)]).toEqual(isCompacted ? [wanted, 0x8000_0000] : [0, 0])

        u32[S.S_XFD >>> 2] = 0
        for (const [, , , , , words] of COMPONENTS)
          for (const at of words(true)) if (at !== S.S_ZERO && at !== S.S_PKRU) u32[at >>> 2] = ~before[at >>> 2]!
        const clobbered = u32.slice()
        // XRSTOR of all: what the area lacks becomes initial.
        pc.setRegister('rax', -1)
        pc.setRegister('rdx', -1)
        expect(execute(pc, XRSTOR)).toBe(-1)
        for (const [number, , , , , words] of COMPONENTS) {
          const isThere = words(long)
          for (const at of words(true)) {
            if (at === S.S_ZERO) continue
            const isRestored = ((xcr0 >>> number) & 1) === 1 && isThere.includes(at)
            const restored = ((bits >>> number) & 1) === 1 ? before[at >>> 2]! : 0
            if (u32[at >>> 2] !== (isRestored ? restored : clobbered[at >>> 2]))
              expect([number, at, word(pc, at)]).toEqual([number, at, isRestored ? restored : clobbered[at >>> 2]])
          }
        }
        u32[S.S_PKRU >>> 2] = 0
        pc.cpu.modeChanged()
      }),
      { numRuns: 60 },
    )
  })

  test('XRSTOR raises #NM for a component that IA32_XFD disables, unless it only initialises it', ({ pc }) => {
    pc.setRegister('rbx', AREA)
    pc.setRegister('rax', -1)
    pc.cpu.u32[S.S_XFD >>> 2] = 1 << 18
    pc.write64(AREA + 512, 0n)
    expect([execute(pc, XRSTOR), word(pc, S.S_XFD_ERR)]).toEqual([-1, 0])
    pc.write64(AREA + 512, 0xc_0000n)
    expect([execute(pc, XRSTOR), word(pc, S.S_XFD_ERR)]).toEqual([NM, 1 << 18])
  })

  test('XRSTOR makes the initial configuration of tiles from one that LDTILECFG refuses', ({ pc }) => {
    pc.setRegister('rbx', AREA)
    pc.setRegister('rax', -1)
    for (const [isValid, change] of [
      [true, 0],
      [false, 2 << 0],
      [false, 1 << 16],
    ] as const) {
      pc.write64(AREA + 512, 1n << 17n)
      for (const [i, value] of TILES.entries()) pc.write32(AREA + 2752 + 4 * i, i === 0 ? value ^ change : value)
      expect(execute(pc, XRSTOR)).toBe(-1)
      expect(word(pc, S.S_TILECFG)).toBe(isValid ? 1 : 0)
    }
  })

  test('XGETBV tells what is in use', ({ pc }) => {
    pc.setRegister('rcx', 1)
    for (const [number, , , , , words] of COMPONENTS) {
      const last = words(true).findLast((at) => at !== S.S_ZERO)!
      pc.cpu.u32[last >>> 2] = 1
      execute(pc, XGETBV)
      expect(pc.register('rax') & ~3n).toBe(1n << BigInt(number))
      pc.cpu.u32[last >>> 2] = 0
    }
  })
})

test('CPUID has the components, palettes, AVX10 and APX', ({ pc }) => {
  const leaf = (cpu: string, number: number, subleaf: number, xcr0 = ALL): number[] => {
    const into = new Uint32Array(4)
    const processor = new Processor(cpuModel(cpu))
    ;(processor as unknown as { extend(of: typeof extension): void }).extend(extension)
    pc.cpu.u32[S.S_XCR0 >>> 2] = xcr0
    const system = systemOf(pc)
    cpuidLeaf(
      Object.create(system, { cpu: { value: { ...system.cpu, processor } } }) as typeof system,
      number,
      subleaf,
      into,
    )
    return [...into]
  }
  for (const [number, size, intel, amd, isAligned] of COMPONENTS) {
    const flags = (isAligned ? 2 : 0) + (number === 18 ? 4 : 0)
    expect(leaf(INTEL, 0xd, number)).toEqual([size, intel, flags, 0])
    expect(leaf(AMD, 0xd, number)).toEqual(amd === 0 ? [0, 0, 0, 0] : [size, amd, 0, 0])
  }
  expect(leaf(INTEL, 0xd, 0)).toEqual([ALL, 11_008, 11_008, 0])
  expect(leaf(INTEL, 0xd, 0, 0x8_0007)).toEqual([ALL, 1088, 11_008, 0])
  // 840 bytes, 1600 of AVX-512, then 56 to align tiles; 128 of APX.
  expect(leaf(INTEL, 0xd, 1)[1]).toBe(576 + 256 + 1600 + 8 + 56 + 64 + 8192 + 128)
  expect(leaf(INTEL, 0, 0)[0]).toBe(0x29)
  expect(leaf('max,+amx_tile', 0, 0)[0]).toBe(0x1e)
  expect(leaf(INTEL, 0x1d, 0)).toEqual([1, 0, 0, 0])
  expect(leaf(INTEL, 0x1d, 1)).toEqual([0x400_2000, 0x8_0040, 16, 0])
  expect(leaf(`${INTEL},+amx_int8`, 0x1e, 0)).toEqual([0, 0x4010, 0, 0])
  expect(leaf(`${INTEL},+amx_int8`, 0x1e, 1)).toEqual([0, 0, 0, 0])
  expect(leaf(`${INTEL},+amx_fp16,+amx_fp8`, 0x1e, 0)).toEqual([1, 0x4010, 0, 0])
  expect(leaf(`${INTEL},+amx_fp16,+amx_fp8`, 0x1e, 1)).toEqual([0x18, 0, 0, 0])
  expect(leaf(INTEL, 0x29, 0)).toEqual([0, 1, 0, 0])
  // The last sub-leaf; the version with 128, 256 and 512 bits; VNNI-INT with EVEX.
  expect([0, 1].map((i) => leaf('granite-rapids', 0x24, i).join(' '))).toEqual(['0 458753 0 0', '0 0 0 0'])
  expect([0, 1].map((i) => leaf('everything', 0x24, i).join(' '))).toEqual(['1 458754 0 0', '0 0 4 0'])
})

test('a saved state has the registers, and leaves out those that are zeros', () => {
  const [from, to] = [made(INTEL, 'long'), made(INTEL, 'long')]
  expect(saveVcpu(from.cpu).extended).toEqual({})
  expect(saveVcpu(made('max', 'long').cpu)).not.toHaveProperty('extended')
  const places = COMPONENTS.flatMap(([, , , , , words]) => words(true)).filter((at) => at !== S.S_ZERO)
  for (const at of places) from.cpu.u32[at >>> 2] = at * 7
  expect(writeModelSpecificRegister(from.cpu, 0x1c4, 1n << 18n)).toBe(true)
  expect(writeModelSpecificRegister(from.cpu, 0x1c5, 1n << 17n)).toBe(false)
  const saved = JSON.parse(JSON.stringify(saveVcpu(from.cpu))) as ReturnType<typeof saveVcpu>
  restoreVcpu(to.cpu, saved)
  expect(places.map((at) => word(to, at))).toEqual(places.map((at) => at * 7))
  expect(saveVcpu(to.cpu)).toEqual(saved)
  restoreVcpu(to.cpu, { ...saved, extended: {} })
  expect(saveVcpu(to.cpu).extended).toEqual({})
  const { model, ...unnamed } = saved
  expect(model?.features).toContain('APX_F')
  expect(() => restoreVcpu(made(AMD, 'long').cpu, unnamed)).toThrow(
    /saved (tile|general|xfd).*: the CPU model 'max,vendor=amd,\+avx512f' has no/,
  )
  expect(() => restoreVcpu(made('max', 'long').cpu, saved)).toThrow(/with amx_tile, apx_f, avx512f, xfd/)
  expect(() => restoreVcpu(to.cpu, { ...saved, extended: { masks: '00' } })).toThrow(/saved register of 64 bytes: 00/)
})
