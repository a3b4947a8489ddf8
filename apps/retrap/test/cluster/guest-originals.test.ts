import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { DECODED_BYTES, forksOf } from '../../src/jobs/cluster-guest.ts'
import { createMachine, unused } from '@retrap/linux-guest/jobs/guest'
import { execOptions } from '@retrap/linux-guest/jobs/machine'
import { SentPort } from '@retrap/linux-guest/jobs/ports'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { GuestOriginals, plain } from '../../src/jobs/guest-originals.ts'
import type { ForkedMachine, MadeGuest } from '../../src/jobs/recordings.ts'

const GIB = 2 ** 30

/** Originals whose machines do nothing, and the list of what was done. */
function originalsOf(memoryBytes: number) {
  const done: string[] = []
  const originals = new GuestOriginals(memoryBytes)
  let machines = 0
  const machine = (kind: string): ForkedMachine => {
    const name = `${kind} ${machines++}`
    done.push(name)
    const fork = (): Promise<ForkedMachine> => Promise.resolve(machine(`clone of ${name}`))
    return { fork, close: () => void done.push(`${name} closed`) } as unknown as ForkedMachine
  }
  const make = (original?: Partial<MachineOptions>): Promise<MadeGuest> =>
    Promise.resolve(plain(machine(original === undefined ? 'guest' : 'original')))
  return { done, originals, start: () => originals.clone(make, () => Promise.resolve({})) }
}

describe('guests that start later', () => {
  test('are clones of one original', async () => {
    const { done, originals, start } = originalsOf(GIB / 2)
    await start()
    await start()
    originals.close()
    expect(done).toEqual(['original 0', 'clone of original 0 1', 'clone of original 0 2', 'original 0 closed'])
  })

  test('have room for all of their RAM, and so have their clones: else there is another original', async () => {
    const { done, start } = originalsOf(GIB)
    const first = await start()
    const copy = first.copyOf!(await first.machine.fork({}))
    await start()
    expect(done.filter((name) => name.startsWith('original'))).toEqual(['original 0', 'original 3'])
    copy.close()
    copy.close()
    await start()
    expect(done.at(-1)).toBe('clone of original 0 5')
  })

  test('are made where a clone may have no room', async () => {
    const { done, start } = originalsOf(2 * GIB)
    await start()
    expect(done).toEqual(['guest 0'])
  })
})

/** An Image for Arm of 64 bytes, without code. */
const IMAGE = `${'00'.repeat(16)}40${'00'.repeat(39)}41524d64${'00'.repeat(4)}`
test('a guest and its clones fit in the memory of a machine, whatever their RAM and processors', async () => {
  const memory = vi.spyOn(WebAssembly, 'Memory').mockImplementation(function refuse() {
    throw new Error('there is none')
  })
  onTestFinished(() => memory.mockRestore())
  const ports = { ...unused(() => undefined), jobs: new SentPort(), signals: new SentPort(), status: new SentPort() }
  const ends = { ports, shares: [], network: undefined, devices: undefined, disk: undefined }
  const kind = fc.record({
    arch: fc.constantFrom('amd64' as const, 'arm64' as const),
    memoryBytes: fc.integer({ min: 64, max: 3584 }).map((mib) => mib * 2 ** 20),
    cpus: fc.integer({ min: 1, max: 8 }),
  })
  const fits = fc.asyncProperty(kind, async (one) => {
    const forks = forksOf(one.memoryBytes, one.cpus)
    const options = await execOptions({ ...one, cpu: undefined, kernel: undefined, debian: '12', devices: [] }, ends)
    const images = one.arch === 'amd64' ? { firmware: new Uint8Array(1 << 16) } : { kernel: Buffer.from(IMAGE, 'hex') }
    const made = createMachine({ ...options, ...images, codeCacheBytes: DECODED_BYTES, forks })
    // The host is asked for memory of a size that may be.
    await expect(made).rejects.toMatchObject({ code: 'ERR_NO_MEMORY' })
    expect(forks.clones).toBeGreaterThanOrEqual(1)
    expect(forks.writtenBytes).toBeGreaterThanOrEqual(16 * 2 ** 20)
  })
  await fc.assert(fits, { numRuns: 300, examples: [[{ arch: 'amd64', memoryBytes: 3584 * 2 ** 20, cpus: 8 }]] })
})
