/** Several vCPUs that execute at the same time, each in a Worker with translations and code of its own. */
import * as a from '@retrap/x86-assembler'
import { afterAll, expect, test } from 'vitest'
import { runScenario, SCENARIOS } from './support/neighbours/scenarios.ts'
import { endNeighbours, makeNeighbour, NeighbourMachine } from './support/neighbours/threads.ts'
import { saveVcpu } from '../src/index.ts'
import { CODE } from './support/bare-cpu.ts'

const execArgv = ['--conditions=retrap-source']
const WAYS = Object.keys(SCENARIOS).flatMap((name) => [false, true].map((jit) => ({ name, jit })))

afterAll(endNeighbours)

test.each(WAYS)('what another changes is seen: $name, compiled $jit', { timeout: 60_000 }, async ({ name, jit }) => {
  const { ends, wrong } = await runScenario(SCENARIOS[name]!, { rounds: 1e5, ms: 250 }, { jit, execArgv })
  expect([new Set(ends), wrong]).toEqual([new Set(['ended']), 0])
})

const SERIALISING = WAYS.filter(({ name }) => name.startsWith('code behind'))

test.each(SERIALISING)('$name is new though nothing looks in between, compiled $jit', ({ name, jit }) => {
  const machine = new NeighbourMachine()
  const patched = machine.program(CODE, (asm) => {
    const fine = asm.label()
    const again = asm.mov(a.esp, 0x6_0800).mov(a.esi, 1000).here()
    // Another thread changes the code meanwhile.
    SCENARIOS[name]!.look!(asm.rdtsc().mov(a.edi, a.eax))
    asm.cmp(a.eax, a.edi).je(fine).inc(a.ebp).bind(fine).dec(a.esi).jne(again).hlt()
  })
  const cpu = makeNeighbour(machine.task(0, CODE, { jit }))
  let version = 0
  cpu.host.timestamp = (into) => {
    machine.memory.writeU32(machine.ramMa + patched + 1, ++version)
    ;[into.lo, into.hi] = [version, 0]
  }
  expect([cpu.run(1e6).reason, version, saveVcpu(cpu).registers['rbp']]).toEqual(['hlt', 1000, '0x0'])
})
