import { a64Forms, findA64, formatA64 } from '@retrap/arm-decoder'
import { MachineMemory } from '@retrap/memory'
import { words } from '@retrap/tooling/random'
import { SLICE_REPEAT, seedsUntil, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost } from '../src/index.ts'
import { semanticsOf } from '../src/semantics/index.ts'
import { compareExecutions } from './support/compare-executions.ts'
import { SVC } from './support/machine.ts'
import { randomProgram } from './support/random-program.ts'

const PROGRAMS = slicedCount(25, 3)

test(
  'interpreted programs, compiled ones and those by kept code agree at the end of every turn',
  { timeout: 60_000 },
  () => {
    let executed = 0
    let loaded = 0
    for (const seed of seedsUntil(slicedSeed(20_261_122), () => executed > PROGRAMS * 500 && loaded > PROGRAMS)) {
      const random = words(seed)
      for (let i = 0; i < PROGRAMS; i++) {
        const found = compareExecutions(randomProgram(random), random)
        expect(found.difference, `program ${i} of seed ${seed}, ${SLICE_REPEAT}`).toBeUndefined()
        executed += found.executed
        loaded += found.loaded
      }
    }
    expect(executed).toBeGreaterThan(PROGRAMS * 500)
    expect(loaded).toBeGreaterThan(PROGRAMS)
  },
)

/** ADD Vd.4S, Vd.4S, V16.4S. */
const addTo = (d: number): number => (0x4eb0_8400 | (d << 5) | d) >>> 0
const FOUR = [30, 31, 0, 1]

test.each<[string, number]>([
  ['LD4 {V30.16B-V1.16B}, [X28]', 0x4c40_0000 | (28 << 5) | 30],
  ['LD3 {V30.8H-V0.8H}, [X28]', 0x4c40_4400 | (28 << 5) | 30],
  ['ST4 {V30.4S-V1.4S}, [X28]', 0x4c00_0800 | (28 << 5) | 30],
  ['LD2 {V31.B, V0.B}[1], [X28]', 0x0d60_0400 | (28 << 5) | 31],
  ['TBL V2.16B, {V30.16B-V1.16B}, V16.16B', 0x4e00_6000 | (16 << 16) | (30 << 5) | 2],
  ['TBX V2.8B, {V30.16B-V1.16B}, V16.8B', 0x0e00_7000 | (16 << 16) | (30 << 5) | 2],
  ['TBX V2.16B, {V31.16B, V0.16B}, V16.16B', 0x4e00_3000 | (16 << 16) | (31 << 5) | 2],
])('registers that follow the one that is named, also after the last: %s', (_text, word) => {
  const random = words(word)
  const change = FOUR.map(addTo)
  // mov x27, #200; the loop; sub x27, x27, #1; cbnz x27; svc #0
  const loop = [...change, word >>> 0, ...change, addTo(2)]
  const back = (0xb500_0000 | ((-(loop.length + 1) & 0x7_ffff) << 5) | 27) >>> 0
  const found = compareExecutions([0xd280_0000 | (200 << 5) | 27, ...loop, 0xd100_077b, back, SVC], random)
  expect(found.difference).toBeUndefined()
  expect(found.executed).toBeGreaterThan(200 * 10)
})

test('every instruction can be compiled whose registers are all 31', () => {
  const memory = MachineMemory.create({ bytes: 64 << 20 })
  const host = new FlatHost(memory, 0, 0x10_0000)
  const cpu = new ArmCpu(new ArmEngine(memory, { jit: { threshold: 1, fewestInstructions: 1 } }), host)
  const failed: (string | undefined)[] = []
  let start = 0x1_0000
  for (const row of a64Forms()) {
    if (semanticsOf(row) === undefined || row.operation.startsWith('branch')) continue
    let word = row.value
    for (const letter of 'dtnmsau') {
      const [piece] = row.fields.get(letter)?.pieces ?? []
      if (piece !== undefined && piece >> 8 === 5) word = (word | (31 << (piece & 255))) >>> 0
    }
    if (findA64(word)?.index !== row.index) continue
    start += 24
    // b .+4, for the instruction to be counted
    host.load(start, new Uint8Array(Uint32Array.of(0x1400_0001, word, SVC).buffer))
    const before = cpu.engine.jit!.counts.failures
    for (let i = 0; i < 3; i++) {
      cpu.registers.sp = 0x8000n
      cpu.registers.pc = BigInt(start)
      cpu.run(10)
    }
    if (cpu.engine.jit!.counts.failures !== before) failed.push(formatA64(word, { address: 0n }))
  }
  expect(failed).toEqual([])
  expect(cpu.engine.jit!.counts.executed).toBeGreaterThan(1000)
})
