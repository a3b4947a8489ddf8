/** Deterministic time of a clone, whose first write to each frame makes a copy of it in the middle of a turn. */
import { DebugExit } from '@retrap/devices'
import { TEST_JIT } from '@retrap/tooling/jit'
import { al, dword, dx, eax, edi, esi, imm32 } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { createPc, type Pc } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'

const MIB = 1 << 20
const FRAMES = 200
const FIRST = 2 * MIB
const LOG = MIB + MIB / 2
const HPET = 0xfed0_0000
const PM_TIMER = 0x608
const EXIT_PORT = 0x501

/** Has a device's answer written to one frame after the other, and notes the time: the device is waited for with the copy's notice. */
const kernel = multibootKernel((asm) => {
  asm.mov(dword(HPET + 0x10), 1)
  asm.mov(edi, imm32(FIRST)).mov(esi, imm32(LOG))
  const next = asm.here()
  asm.mov(dx, PM_TIMER).insd()
  asm.mov(eax, dword(HPET + 0xf0)).mov(dword(esi), eax)
  asm
    .add(esi, 4)
    .add(edi, imm32(4092))
    .cmp(edi, imm32(FIRST + 4096 * FRAMES))
    .jb(next)
  asm.mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
})

const exit = (): DebugExit[] => [new DebugExit({ iobase: EXIT_PORT })]

async function ended(pc: Pc): Promise<{ readonly times: readonly number[]; readonly end: number }> {
  kept(pc)
  expect(await pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'debug-exit' })
  const bytes = new Uint8Array(4 * FRAMES)
  pc.domain.guestMemory.read(LOG, bytes)
  return { times: [...new Uint32Array(bytes.buffer)], end: pc.domain.clock.now() }
}

test('is not split by copies of frames that come while a device is asked', async () => {
  const made = (): Promise<Pc> =>
    createPc({
      ...{ memoryBytes: 4 * MIB, codeCacheBytes: 4 << 20, jit: TEST_JIT, kernel, clock: 'deterministic' },
      ...{ devicePlacement: 'deferred', devices: exit(), forks: { clones: 2, writtenBytes: 4 * MIB } },
    })
  const expected = await ended(await made())
  const source = await made()
  const clone = await source.fork({ devices: exit() })
  expect(await ended(clone)).toEqual(expected)
  expect(await ended(source)).toEqual(expected)
})
