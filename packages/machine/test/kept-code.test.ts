// Compiled code that is kept: restored machines and clones find it by the guest's bytes, and no snapshot has any.
import { DebugExit } from '@retrap/devices'
import { MemoryKeeper } from '@retrap/tooling/kept-code'
import { al, dword, dx, eax, ecx, esp } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { createPc, type Pc, type PcOptions } from '../src/index.ts'
import { EXIT_PORT } from './support/clock-guest.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'

const SUM = 0x8000
const ROUNDS = 3_000_000
const LIMITS = { timeoutMs: 60_000 }

/** Adds up numbers in a loop with a call, and ends the machine. */
const kernel = (): Uint8Array =>
  multibootKernel((asm) => {
    const [again, add] = [asm.label('again'), asm.label('add')]
    asm.mov(esp, 0x7000).mov(dword(SUM), 0).mov(ecx, ROUNDS)
    asm.bind(again).call(add).dec(ecx).jnz(again)
    asm.mov(al, 0).mov(dx, EXIT_PORT).out(dx, al).hlt()
    asm.bind(add).mov(eax, ecx).and(eax, 0xff).add(dword(SUM), eax).ret()
  })

const exit = (): Pick<PcOptions, 'devices'> => ({ devices: [new DebugExit({ iobase: EXIT_PORT })] })

async function made(options: Omit<PcOptions, 'memoryBytes'>): Promise<Pc> {
  const forks = { clones: 2, writtenBytes: 4 << 20 }
  const given = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, forks, clock: 'deterministic' as const }
  return kept(await createPc({ ...given, ...exit(), ...options }))
}

/** Runs a machine to its end. @returns what the guest has found, and what compiled code has done */
async function ended(pc: Pc): Promise<{ sum: number; instructions: number; units: number; loaded: number }> {
  expect(await pc.run(LIMITS)).toMatchObject({ reason: 'debug-exit' })
  const { instructions, jit } = pc.statistics()
  const sum = pc.memory.readU32(pc.domain.secondLevel.peek(SUM))
  return { sum, instructions, units: jit?.units ?? 0, loaded: jit?.loaded ?? 0 }
}

/** Has a machine run a little. */
async function started(pc: Pc): Promise<Pc> {
  const stop = new AbortController()
  const run = pc.run({ signal: stop.signal })
  await new Promise((resolve) => setTimeout(resolve, 1))
  stop.abort()
  expect(await run).toMatchObject({ reason: 'stopped' })
  return pc
}

test('machines that start, are restored or cloned compile nothing that is kept', async () => {
  const jit = { threshold: 50, watch: 0, keep: new MemoryKeeper() }
  const interpreted = await ended(await made({ kernel: kernel(), jit: false }))
  const cold = await ended(await made({ kernel: kernel(), jit }))
  expect([cold.units > 0, cold.loaded]).toEqual([true, 0])
  const warm = await ended(await made({ kernel: kernel(), jit }))
  expect([warm.units, warm.loaded > 0]).toEqual([0, true])

  const before = await started(await made({ kernel: kernel(), jit: false }))
  const snapshot = await before.save()
  const restored = await ended(await made({ snapshot, jit }))
  expect([restored.units, restored.loaded > 0]).toEqual([0, true])

  // Clones have one compiler with the machine that they come from.
  const source = await started(await made({ kernel: kernel(), jit }))
  const clone = kept(await source.fork(exit()))
  const cloned = await ended(clone)
  expect([cloned.units, cloned.loaded > 0]).toEqual([0, true])

  for (const { sum } of [cold, warm, restored, cloned]) expect(sum).toBe(interpreted.sum)
  // The counts of a machine begin where it does.
  const rest = interpreted.instructions - before.statistics().instructions
  expect([cold, warm, restored].map(({ instructions }) => instructions)).toEqual([
    ...[interpreted.instructions, interpreted.instructions],
    rest,
  ])
})
