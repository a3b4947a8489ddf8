import { createHash } from 'node:crypto'
import { DebugExit } from '@retrap/devices'
import { saveDomain } from '@retrap/hvm'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { al, type Assembler, dword, dx, eax, ecx, edx, imm32, imm8 } from '@retrap/x86-assembler'
import { createPc, type Pc, type PcOptions } from '../../src/index.ts'
import { EXIT_PORT } from '../support/clock-guest.ts'
import { multibootKernel } from '../support/kernels.ts'

const MIB = 1 << 20
const ROUNDS = 100_000
/** Pages that it writes, from 2 MiB on. */
const PAGES = 1024

/** Writes pages without an order, and what time it is, and ends. */
function program(asm: Assembler): void {
  asm.mov(ecx, imm32(ROUNDS)).mov(eax, imm32(1))
  const round = asm.here()
  asm
    .imul(eax, eax, imm32(1_664_525))
    .add(eax, imm32(1_013_904_223))
    .mov(edx, eax)
    .shr(edx, imm8(20))
    .and(edx, imm32(PAGES - 1))
    .shl(edx, imm8(12))
    .add(edx, imm32(2 * MIB))
    .add(dword(edx), eax)
    .push(eax)
    .push(edx)
    .rdtsc()
    .add(dword(2 * MIB + 8), eax)
    .pop(edx)
    .pop(eax)
    .dec(ecx)
    .jnz(round)
  asm.mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
}

const devices = (): Pick<PcOptions, 'devices'> => ({ devices: [new DebugExit({ iobase: EXIT_PORT })] })

type Board = 'pc' | 'q35'

function made(machine: Board, jit: boolean): Promise<Pc> {
  return createPc({
    memoryBytes: 8 * MIB,
    codeCacheBytes: 4 * MIB,
    jit,
    machine,
    kernel: multibootKernel(program),
    clock: 'deterministic',
    forks: { clones: 6, writtenBytes: 8 * MIB },
    ...devices(),
  })
}

/** All that can be seen of a machine whose guest has ended. */
async function endOf(pc: Pc): Promise<string> {
  const { state, pages } = await saveDomain(pc.domain, 1000)
  const { vcpus, clock, interrupts } = state
  const text = JSON.stringify([vcpus, clock, interrupts], (_key, value: unknown) =>
    value instanceof Uint8Array ? [...value] : value,
  )
  const ram = createHash('sha256').update(text)
  for (const [i, gfn] of pages.gfns.entries())
    if (gfn >= 0x200) ram.update(`${gfn}`).update(pages.bytes.subarray(i * 4096, (i + 1) * 4096))
  return ram.digest('hex')
}

async function someTurns(rng: Rng): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  for (let i = rng.below(60); i > 0; i--) await new Promise((resolve) => setImmediate(resolve))
}

/** Ends of runs that nobody forks, by board. */
const references = new Map<Board, string>()

async function referenceOf(machine: Board): Promise<string> {
  const known = references.get(machine)
  if (known !== undefined) return known
  const pc = await made(machine, true)
  try {
    await pc.run()
    const end = await endOf(pc)
    references.set(machine, end)
    return end
  } finally {
    pc.close()
  }
}

/** A guest is forked at random instants, and so are its clones; each is put back at times, and ends as if nothing had been. */
export const soak: Soak = {
  name: 'fork',
  count: 200,
  async step(rng) {
    const machine = rng.pick<Board>(['pc', 'q35'])
    const expected = await referenceOf(machine)
    const first = await made(machine, rng.chance(1, 2))
    const all = [first]
    try {
      const runs = [first.run()]
      for (let moves = 2 + rng.below(8); moves > 0; moves--) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await someTurns(rng)
        const pc = rng.pick(all)
        if (rng.chance(1, 4)) {
          // oxlint-disable-next-line no-await-in-loop
          const before = await pc.save({ forRestore: true }).catch(() => undefined)
          if (before === undefined) continue
          // oxlint-disable-next-line no-await-in-loop
          await someTurns(rng)
          if (pc.state === 'running')
            // oxlint-disable-next-line no-await-in-loop
            await pc.restore(before)
          continue
        }
        if (all.length > 6) continue
        // oxlint-disable-next-line no-await-in-loop
        const clone = await pc.fork(devices()).catch((error: { readonly code?: string }) => {
          if (error.code === 'ERR_STATE') return undefined
          throw error
        })
        // Its guest has ended it.
        if (clone === undefined) break
        all.push(clone)
        runs.push(clone.run())
      }
      rng.note('machines', `${all.length} of ${machine}`)
      for (const [i, run] of runs.entries()) {
        // oxlint-disable-next-line no-await-in-loop
        const exit = await run
        // oxlint-disable-next-line no-await-in-loop
        const end = await endOf(all[i]!)
        if (exit.reason !== 'debug-exit') return `machine ${i} ended with ${JSON.stringify(exit)}`
        if (end !== expected) return `machine ${i} of ${all.length} ended as ${end}, an unforked one as ${expected}`
        if (i % 2 === 1) all[i]!.close()
      }
      return undefined
    } finally {
      for (const pc of all) pc.close()
    }
  },
}
