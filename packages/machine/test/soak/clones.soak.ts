import type { Soak } from '@retrap/tooling/soak'
import { createPc, type Pc } from '../../src/index.ts'
import { multibootKernel } from '../support/kernels.ts'

const MIB = 1 << 20
const CLONES = 100
const WRITTEN_BYTES = 8 * MIB
const MOST_RESIDENT_MIB = 1536

/** A hundred clones of a guest with 256 MiB that is full, each of which writes 8 MiB, fit in 1.5 GiB of the host's memory. */
export const soak: Soak = {
  name: 'clones',
  count: 1,
  async step(rng) {
    const pcs: Pc[] = []
    try {
      const pc = await createPc({
        memoryBytes: 256 * MIB,
        forks: { clones: CLONES, writtenBytes: WRITTEN_BYTES },
        kernel: multibootKernel((asm) => void asm.jmp(asm.here())),
      })
      pcs.push(pc)
      const page = new Uint8Array(4096).fill(1)
      for (let gpa = 2 * MIB; gpa < 256 * MIB; gpa += 4096) pc.domain.guestMemory.write(gpa, page)
      await pc.run({ timeoutMs: 50 })
      for (let i = 0; i < CLONES; i++) pcs.push(await pc.fork())
      for (const [i, clone] of pcs.slice(1).entries()) {
        page.fill(i)
        for (let at = 0; at < WRITTEN_BYTES; at += 4096) clone.domain.guestMemory.write(32 * MIB + 3 * at, page)
        await clone.run({ timeoutMs: 5 })
      }
      const resident = Math.round(process.memoryUsage.rss() / MIB)
      rng.note('resident', `${resident} MiB`)
      console.log(`clones: ${resident} MiB resident, goal ${MOST_RESIDENT_MIB}`)
      return resident > MOST_RESIDENT_MIB ? `${resident} MiB: expected at most ${MOST_RESIDENT_MIB}` : undefined
    } finally {
      for (const pc of pcs) pc.close()
    }
  },
}
