import { a64Forms, findA64, formatA64 } from '@retrap/arm-decoder'
import { MachineMemory } from '@retrap/memory'
import { words } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost } from '../src/index.ts'
import { semanticsOf } from '../src/semantics/index.ts'
import { compareExecutions } from './support/compare-executions.ts'
import { SVC } from './support/machine.ts'
import { randomProgram } from './support/random-program.ts'

const PROGRAMS = 25

test('compiled and interpreted programs agree at the end of every turn', { timeout: 60_000 }, () => {
  const random = words(20_261_122)
  let executed = 0
  for (let i = 0; i < PROGRAMS; i++) {
    const found = compareExecutions(randomProgram(random), random)
    expect(found.difference, `program ${i}`).toBeUndefined()
    executed += found.executed
  }
  expect(executed).toBeGreaterThan(PROGRAMS * 500)
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
